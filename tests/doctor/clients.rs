//! Entries in clients' files that do not lead to this daemon, do not open it, or leave a call too little time; and those that do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::exai::{Home, Ran};
use crate::ports::free_port;
use crate::{TOKEN, doctor, finds, machine};

/// The file with other words in it.
fn with(home: &Home, file: &str, from: &str, to: &str) -> impl Fn() + use<> {
    let path = home.folder().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    move || fs::write(&path, &text).unwrap()
}

/// What the doctor says where the entry leads nobody knows where.
const FILLED_IN: &str = "has its client fill in where it leads";

/// A token as the password of `Authorization`.
fn basic(token: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("exai:{token}")))
}

#[test]
fn faults_of_clients() {
    let mut machine = machine();
    machine.home.run(&["connect", "cursor"]);
    let file = machine.home.folder().join(".cursor/mcp.json");
    let restore = with(&machine.home, ".cursor/mcp.json", TOKEN, "an-older-token-of-the-tests");
    finds(&machine.home, "client Cursor: ", "run `exai connect cursor`");
    restore();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    finds(&machine.home, "holds the token and other users can read it", "chmod 600 ");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, "{").unwrap();
    finds(&machine.home, "line 1", "correct it there");
    fs::write(&file, &text).unwrap();
    machine.home.set("EXAI_LISTEN__MCP", &free_port().to_string());
    finds(&machine.home, "does not lead to 127.0.0.1:", "run `exai connect cursor`");
}

#[test]
fn faults_of_entries_that_connect() {
    let machine = machine();
    let home = &machine.home;
    home.run(&["connect", "claude-code"]);
    let file = ".claude.json";
    let again = "run `exai connect claude-code`";
    for (from, to, fault) in [
        ("\"ws://", "\"wss://", "speaks TLS (wss, https), and EXAI has none"),
        ("\"ws://", "\"http://", "needs `type` to be `http`"),
        ("/mcp\"", "/ws\"", "does not lead to 127.0.0.1:"),
        ("ws://127.0.0.1", "ws://192.0.2.1", "does not lead to 127.0.0.1:"),
        (
            "\"url\"",
            "\"serverUrl\"",
            "has the address as `serverUrl`, where it is not looked for: that is `url`",
        ),
        ("\"Authorization\"", "\"X-Token\"", "presents no token"),
        ("960000", "60000", "gives a call up after 60 s (`timeout`)"),
    ] {
        let restore = with(home, file, from, to);
        let fix = if to == "\"http://" { "run `exai connect claude-code --transport http`" } else { again };
        finds(home, fault, fix);
        restore();
    }
    let named = home.run(&["token", "add", "mine"]).stdout;
    for (from, to) in [
        (TOKEN, "${EXAI_TOKEN}"),
        (&format!("Bearer {TOKEN}"), &basic(TOKEN)),
        (TOKEN, named.trim()),
        ("//127.0.0.1", "//localhost"),
        ("\"timeout\"", "\"unlimited\""),
    ] {
        let restore = with(home, file, from, to);
        let ran = doctor(home, &[]);
        assert_eq!(ran.code, Some(0), "{to}: {}", ran.stdout);
        restore();
    }
    for (from, to) in [("\"ws://127.0.0.1:", "\"ws://${EXAI_HOST}:"), ("\"ws://", "\"${EXAI_URL:-}ws://")] {
        let restore = with(home, file, from, to);
        let ran = doctor(home, &[]);
        assert!(ran.code == Some(0) && ran.stdout.contains(FILLED_IN), "{to}: {}", ran.stdout);
        restore();
    }
    let restore = with(home, file, "\"ws://", "\"ws://exai:${EXAI_TOKEN}@");
    let ran = doctor(home, &[]);
    assert!(ran.code == Some(0) && !ran.stdout.contains(FILLED_IN), "{}", ran.stdout);
    restore();
    let restore = with(home, file, &format!("Bearer {TOKEN}"), &basic("an-older-token-of-the-tests"));
    finds(home, "has another token than EXAI's", again);
    restore();
    let restore = with(home, file, &format!("Bearer {TOKEN}"), &basic(TOKEN));
    let path = home.folder().join(file);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    finds(home, "holds the token and other users can read it", "chmod 600 ");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    restore();
    let restore = with(home, file, "\"ws://127.0.0.1:", "\"wss://exai.example/x?");
    let mut proxied = home.command(&["doctor"]);
    proxied.env("EXAI_LISTEN__ALLOWED_HOSTS", "exai.example");
    assert_eq!(Ran::of(proxied).code, Some(0), "behind a proxy that has the name");
    finds(home, "does not lead to 127.0.0.1:", again);
    restore();
    home.run(&["token", "revoke", "mine"]);
    let restore = with(home, file, TOKEN, named.trim());
    finds(home, "has another token than EXAI's", again);
    restore();
    home.run(&["connect", "claude-code", "--remove"]);
    home.run(&["connect", "codex"]);
    let restore = with(home, ".codex/config.toml", "tool_timeout_sec", "tool_timeout");
    finds(home, "gives a call up after 60 s (`tool_timeout_sec`)", "run `exai connect codex`");
    restore();
    assert_eq!(doctor(home, &[]).code, Some(0));
}

#[test]
fn faults_of_entries_that_launch_a_bridge() {
    let mut machine = machine();
    let at = free_port();
    machine.home.set("EXAI_LISTEN__MCP", &at.to_string());
    machine.home.run(&["connect", "claude-desktop"]);
    machine.home.run(&["connect", "gemini", "--transport", "stdio"]);
    let ran = doctor(&machine.home, &[]);
    assert!(ran.code == Some(0) && ran.stdout.contains("ok   client Gemini CLI: "), "{}", ran.stdout);
    let program = env!("CARGO_BIN_EXE_exai");
    for (from, to, fault) in [
        (program, "/nowhere/exai", "launches /nowhere/exai, which does not exist"),
        (program, "no-such-exai", "launches no-such-exai, which does not exist"),
        (program, "/bin/sh", "launches /bin/sh, which is not this exai"),
        ("\"stdio\"", "\"serve\"", "launches exai without the argument `stdio`"),
        (TOKEN, "an-older-token-of-the-tests", "has another token than EXAI's"),
        (&format!(":{}\"", at.port()), ":9\"", "its bridge goes to 127.0.0.1:9"),
        ("EXAI_LISTEN__MCP", "EXAI_LISTEN__MPC", "launches a bridge that refuses to start: "),
        (
            "\"args\": [",
            "\"args\": [\"--config\", \"/nowhere/exai.toml\",",
            "/nowhere/exai.toml: cannot be read",
        ),
    ] {
        let restore = with(&machine.home, ".config/Claude/claude_desktop_config.json", from, to);
        finds(&machine.home, fault, "run `exai connect claude-desktop`");
        restore();
    }
    let desktop = ".config/Claude/claude_desktop_config.json";
    let restore_program = with(&machine.home, desktop, program, "/usr/bin/env");
    let restore = with(&machine.home, desktop, "\"stdio\"", "\"/opt/exai\", \"stdio\"");
    let ran = doctor(&machine.home, &[]);
    assert!(ran.code == Some(0) && ran.stdout.contains("has another program launch exai"), "{}", ran.stdout);
    restore();
    restore_program();
    for (from, to) in [
        (program, "${HOME}/bin/exai"),
        (&format!(":{}\"", at.port()), ":${EXAI_PORT}\""),
        ("\"args\": [", "\"args\": [\"--config\", \"${workspaceFolder}/exai.toml\","),
    ] {
        let restore = with(&machine.home, desktop, from, to);
        let ran = doctor(&machine.home, &[]);
        assert!(ran.code == Some(0) && ran.stdout.contains(FILLED_IN), "{to}: {}", ran.stdout);
        restore();
    }
    let restore = with(&machine.home, ".gemini/settings.json", "960000", "899999");
    finds(&machine.home, "gives a call up after 899.999 s (`timeout`)", "connect gemini --transport stdio`");
    restore();
    machine.home.set("EXAI_LIMITS__DEADLINE_S", "1200");
    finds(&machine.home, "(limits.deadline_s, 1200 s)", "connect gemini --transport stdio`");
}
