//! `exai connect` as a user meets it: the real binary, every client's file as it may be found, in and out again byte for byte.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/exai.rs"]
mod exai;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use exai::Home;

const TOKEN: &str = "a-token-for-the-tests-of-connect";

/// Every client, its file, and what its entry must say by the transport that it is given when nobody asks for one.
const CLIENTS: [(&str, &str, &[&str]); 7] = [
    (
        "claude-code",
        ".claude.json",
        &["\"type\": \"ws\"", "\"ws://127.0.0.1:8079/mcp\"", "\"timeout\": 960000"],
    ),
    (
        "claude-desktop",
        ".config/Claude/claude_desktop_config.json",
        &["\"command\": \"/", "\"stdio\"", "EXAI_TOKEN"],
    ),
    (
        "vscode",
        ".config/Code/User/mcp.json",
        &["\"servers\"", "\"type\": \"http\"", "\"http://127.0.0.1:8079/mcp\""],
    ),
    ("cursor", ".cursor/mcp.json", &["\"mcpServers\"", "\"url\": \"http://127.0.0.1:8079/mcp\""]),
    ("windsurf", ".codeium/windsurf/mcp_config.json", &["\"serverUrl\": \"http://127.0.0.1:8079/mcp\""]),
    (
        "codex",
        ".codex/config.toml",
        &["[mcp_servers.exai]", "tool_timeout_sec = 960", "startup_timeout_sec = 30"],
    ),
    (
        "gemini",
        ".gemini/settings.json",
        &["\"httpUrl\": \"http://127.0.0.1:8079/mcp\"", "\"timeout\": 960000"],
    ),
];

/// Files as they may be found; TOML's for Codex.
const JSON: [&str; 7] = [
    "",
    "{}",
    "{\n  \"mcpServers\": {\n    \"other\": { \"command\": \"x\" }\n  },\n  \"servers\": {}\n}\n",
    "{\n  // mine\n  \"mcpServers\": { // servers\n    \"other\": {}, // last,\n  },\n}\n",
    "{\r\n\t\"servers\": {\r\n\t\t\"other\": {}\r\n\t}\r\n}\r\n",
    "\u{feff}{\"a\":1}",
    "{\n       \"x\": 1.50,\n       \"mcpServers\": {}\n}",
];
const TOML: [&str; 4] = [
    "",
    "model = \"o\" # mine\n\n[mcp_servers.other]\ncommand = \"x\"\n",
    "\u{feff}model = \"o\"\r\n\r\n\r\n[tui]\r\n\tx = [ 1,\r\n 2 ]",
    "[mcp_servers]\n  [mcp_servers.a]\n  url = \"u\"\n",
];

fn home() -> Home {
    let mut home = Home::new();
    home.set("EXAI_TOKEN", TOKEN);
    home.set("MOONSHOT_API_KEY", "sk-never-in-a-client");
    home
}

fn file(home: &Home, name: &str) -> PathBuf {
    let path = home.folder().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path
}

fn ok(home: &Home, arguments: &[&str]) -> String {
    let ran = home.run(arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?} {ran:?}");
    ran.stdout
}

#[test]
fn every_client_goes_in_and_out_byte_for_byte() {
    for (client, name, words) in CLIENTS {
        let texts: &[&str] = if client == "codex" { &TOML } else { &JSON };
        for text in texts {
            let home = home();
            let path = file(&home, name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            let shown = ok(&home, &["connect", client]);
            assert!(shown.contains("@@ line ") && !shown.contains(TOKEN), "{shown}");
            let written = fs::read_to_string(&path).unwrap();
            for word in words {
                assert!(written.contains(word), "{client}: {word} in {written}");
            }
            assert!(written.contains(TOKEN) && !written.contains("sk-never"), "{client} {written}");
            assert!(shown.contains("only you can read it"), "{client} {shown}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(ok(&home, &["connect", client]).contains("already"), "{client}");
            assert_eq!(fs::read_to_string(&path).unwrap(), written);
            ok(&home, &["connect", client, "--remove"]);
            assert_eq!(fs::read(&path).unwrap(), text.as_bytes(), "{client}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            assert!(ok(&home, &["connect", client, "--remove"]).contains("not connected"), "{client}");
        }
    }
}

#[test]
fn a_file_that_was_not_there_is_private_and_goes_again() {
    for (client, name, _) in CLIENTS {
        let home = home();
        ok(&home, &["connect", client]);
        let path = home.folder().join(name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{client}");
        ok(&home, &["connect", client, "--remove"]);
        assert!(!path.exists(), "{client}");
    }
}

/// Whatever is switched in between, and whatever lies beside the file: what was there before the first time comes back.
#[test]
fn switching_and_a_new_token_leave_nothing_behind() {
    for (client, name, _) in CLIENTS.into_iter().filter(|(client, ..)| *client != "claude-desktop") {
        for text in [None, Some(if client == "codex" { TOML[1] } else { JSON[2] })] {
            let mut home = home();
            let path = file(&home, name);
            let theirs = format!("{}.exai-backup", path.display());
            fs::write(&theirs, "mine").unwrap();
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            ok(&home, &["connect", client, "--transport", "http"]);
            ok(&home, &["connect", client, "--transport", "stdio"]);
            home.set("EXAI_TOKEN", "a-token-that-came-after-the-first");
            ok(&home, &["connect", client, "--transport", "http"]);
            ok(&home, &["connect", client, "--remove"]);
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), text, "{client}");
            assert_eq!(fs::read_to_string(&theirs).unwrap(), "mine");
        }
    }
}

#[test]
fn print_writes_nothing() {
    for (client, name, words) in CLIENTS {
        let home = home();
        let shown = ok(&home, &["connect", client, "--print"]);
        assert!(words.iter().all(|word| shown.contains(word)) && shown.contains(TOKEN), "{shown}");
        assert!(!home.folder().join(name).exists(), "{client}");
    }
}

#[test]
fn a_new_token_and_another_transport_renew_the_entry_and_keep_the_first_backup() {
    let mut home = home();
    let path = file(&home, ".claude.json");
    fs::write(&path, "{\"a\": 1}").unwrap();
    ok(&home, &["connect", "claude-code"]);
    home.set("EXAI_TOKEN", "another-token-for-the-tests");
    let shown = ok(&home, &["connect", "claude-code", "--transport", "http"]);
    assert!(!shown.contains(TOKEN) && shown.contains("Bearer ***"), "{shown}");
    let written = fs::read_to_string(&path).unwrap();
    assert!(
        written.contains("another-token") && !written.contains(TOKEN) && written.contains("\"http\""),
        "{written}"
    );
    ok(&home, &["connect", "claude-code", "--remove"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\": 1}");
    let refused = home.run(&["connect", "cursor", "--transport", "ws"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("use one of: http, stdio"), "{refused:?}");
    assert_eq!(home.run(&["connect", "emacs"]).code, Some(2));
}

#[test]
fn links_are_followed_and_a_file_of_ones_own_choice_is_taken() {
    let home = home();
    let real = file(&home, "dotfiles/mcp.json");
    fs::write(&real, "{}").unwrap();
    let link = file(&home, ".cursor/mcp.json");
    symlink(&real, &link).unwrap();
    ok(&home, &["connect", "cursor"]);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("exai"));
    ok(&home, &["connect", "cursor", "--remove"]);
    assert_eq!(fs::read_to_string(&real).unwrap(), "{}");
    ok(&home, &["connect", "vscode", "--file", "project.json"]);
    assert!(home.folder().join("project.json").exists());
}

#[test]
fn what_cannot_be_edited_is_left_alone_and_says_where() {
    let home = home();
    let path = file(&home, ".cursor/mcp.json");
    let table = [
        ("{\n  \"a\": }", "line 2 column 8"),
        ("{\"mcpServers\": []}", "`mcpServers` is no object"),
        ("[1]", "no JSON object"),
    ];
    for (text, words) in table {
        fs::write(&path, text).unwrap();
        let ran = home.run(&["connect", "cursor"]);
        assert!(ran.code == Some(1) && ran.stderr.contains(words) && ran.stderr.contains("fix: "), "{ran:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::write(&path, [b'{', 0xff, b'}']).unwrap();
    assert!(home.run(&["connect", "cursor"]).stderr.contains("not UTF-8 text"));
    fs::write(&path, "{}").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    let ran = home.run(&["connect", "cursor"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("chmod u+w"), "{ran:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
}

#[test]
fn a_bridge_finds_the_settings_from_any_folder_and_what_it_lacks_is_said() {
    let mut home = home();
    home.write_config("[limits]\nglobal = 9\n");
    home.set("EXAI_LISTEN__MCP", "127.0.0.1:8179");
    home.set("EXAI_LISTEN__ALLOWED_HOSTS", "exai.example");
    home.set("EXAI_STORAGE__URL", "postgres://exai:hunter2@127.0.0.1/exai");
    let ran = home.run(&["connect", "claude-desktop"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let written = home.folder().join(".config/Claude/claude_desktop_config.json");
    let written: serde_json::Value = serde_json::from_slice(&fs::read(written).unwrap()).unwrap();
    let entry = &written["mcpServers"]["exai"];
    let named = home.folder().join("exai.toml").canonicalize().unwrap();
    assert_eq!(entry["args"], serde_json::json!(["--config", named, "stdio"]));
    let carried = serde_json::json!({
        "EXAI_TOKEN": TOKEN, "EXAI_LISTEN__MCP": "127.0.0.1:8179", "EXAI_LISTEN__ALLOWED_HOSTS": "exai.example"
    });
    assert_eq!(entry["env"], carried);
    for words in
        ["EXAI_STORAGE__URL is not carried", "the key of kimi is in this environment only", "fix: put"]
    {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("sk-never"), "{}", ran.stderr);
    let direct = home.run(&["connect", "cursor"]);
    assert!(direct.code == Some(0) && direct.stderr.is_empty(), "{direct:?}");
}

#[test]
fn print_shows_our_entry_alone_where_the_file_cannot_be_edited() {
    let home = home();
    let path = file(&home, ".codex/config.toml");
    let inline = "mcp_servers = { o = { command = \"x\" } }\n";
    fs::write(&path, inline).unwrap();
    let refused = home.run(&["connect", "codex"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("`--print` shows how"), "{refused:?}");
    let ran = home.run(&["connect", "codex", "--print"]);
    assert!(ran.code == Some(0) && ran.stderr.contains("add this by hand"), "{ran:?}");
    assert!(ran.stdout.starts_with("[mcp_servers.exai]\n") && ran.stdout.contains(TOKEN), "{ran:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), inline);
}
