//! The official SDKs and Claude Code as clients of the real daemon, over each transport that they have: they connect, list, ask, and get
//! the text and the receipt. `tests/sdk/install.sh` installs them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/client.rs"]
mod client;
#[macro_use]
#[path = "support/database.rs"]
mod database;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use server::TOKEN;
use tempfile::TempDir;
use tokio::process::Command;
use world::World;

/// The longest that a client may take: a Node program starts slowly on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// One client that connects in one way.
struct Case {
    /// The program, and its script if it has one.
    program: &'static str,
    script: &'static str,
    transport: &'static str,
    /// How it is told to choose the protocol, where it has a choice.
    mode: &'static str,
    protocol: &'static str,
}

const PYTHON_1: (&str, &str) = ("python1/bin/python", "python1.py");
const PYTHON_2: (&str, &str) = ("python2/bin/python", "python2.py");
const TS_1: (&str, &str) = ("node", "ts1.cjs");
const TS_2: (&str, &str) = ("node", "ts2.cjs");

fn case((program, script): (&'static str, &'static str), rest: [&'static str; 3]) -> Case {
    let [transport, mode, protocol] = rest;
    Case { program, script, transport, mode, protocol }
}

fn sdks() -> PathBuf {
    std::env::var_os("EXAI_TEST_SDKS")
        .expect("EXAI_TEST_SDKS names the folder of tests/sdk/install.sh")
        .into()
}

/// Where that transport is: an address, or the program to launch.
fn target(world: &World, transport: &str) -> String {
    match transport {
        "stdio" => env!("CARGO_BIN_EXE_exai").to_owned(),
        scheme => format!("{scheme}://{}/mcp", world.server.mcp),
    }
}

async fn run(world: &World, mut command: Command) -> Output {
    // A bridge that is launched finds the daemon that runs, or fails to start another at its port.
    command.env("EXAI_TEST_SDKS", sdks()).env("EXAI_TOKEN", TOKEN);
    command.env("EXAI_LISTEN__MCP", world.server.mcp.to_string());
    command.stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(WITHIN, command.output()).await.expect("it ends in time").unwrap()
}

async fn connects_lists_and_asks(case: Case) {
    let world = World::start().await;
    let Case { program, script, transport, mode, protocol } = case;
    let found = sdks().join(program);
    let mut command = Command::new(if found.exists() { found } else { program.into() });
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(script));
    let prompt = format!("from {script} by {transport}");
    command.args([transport, &target(&world, transport), TOKEN, &prompt]);
    if !mode.is_empty() {
        command.arg(mode);
    }
    let output = run(&world, command).await;
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    let got = serde_json::from_str::<Value>(said.trim()).unwrap_or_else(|_| panic!("{said}\n{complained}"));
    assert_eq!(got["protocol"], protocol, "{got}");
    let tools = got["tools"].as_array().unwrap();
    assert!(
        ["chat", "result", "listmodels"].iter().all(|tool| tools.iter().any(|name| name == tool)),
        "{got}"
    );
    assert!(got["text"].as_str().unwrap().contains(&prompt), "{got}");
    let receipt = &got["receipt"];
    assert_eq!((&receipt["provider"], &receipt["tool"]), (&"kimi".into(), &"chat".into()), "{got}");
    assert_eq!(receipt["host"], world.kimi.addr().to_string(), "{got}");
    assert_eq!(world.kimi.journal().len(), 1);
}

macro_rules! cases {
    ($($name:ident: $client:expr, $rest:expr;)*) => {
        $(
            #[tokio::test]
            #[ignore = "needs the official SDKs: tests/run installs them"]
            async fn $name() { connects_lists_and_asks(case($client, $rest)).await; }
        )*
    };
}

cases! {
    python_1_by_websocket: PYTHON_1, ["ws", "", "2025-11-25"];
    python_1_by_http: PYTHON_1, ["http", "", "2025-11-25"];
    python_1_by_stdio: PYTHON_1, ["stdio", "", "2025-11-25"];
    python_2_by_http: PYTHON_2, ["http", "auto", "2026-07-28"];
    python_2_by_http_as_before: PYTHON_2, ["http", "legacy", "2025-11-25"];
    python_2_by_stdio: PYTHON_2, ["stdio", "auto", "2026-07-28"];
    typescript_1_by_websocket: TS_1, ["ws", "", "2025-11-25"];
    typescript_1_by_http: TS_1, ["http", "", "2025-11-25"];
    typescript_1_by_stdio: TS_1, ["stdio", "", "2025-11-25"];
    typescript_2_by_http: TS_2, ["http", "auto", "2026-07-28"];
    typescript_2_by_http_as_before: TS_2, ["http", "legacy", "2025-11-25"];
    typescript_2_by_stdio: TS_2, ["stdio", "auto", "2026-07-28"];
    typescript_2_by_stdio_as_before: TS_2, ["stdio", "legacy", "2025-11-25"];
}

/// `exai connect` writes the entry, and Claude Code says whether it could connect.
async fn claude_code_connects(transport: &str) {
    let world = World::start().await;
    let home = tempfile::tempdir().unwrap();
    let mut connect = Command::new(env!("CARGO_BIN_EXE_exai"));
    connect.args(["connect", "claude-code", "--transport", transport]);
    connect.env("HOME", home.path()).current_dir(home.path());
    let written = run(&world, connect).await;
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    claude_code_lists(&world, &home).await;
}

/// With the servers of this home.
async fn claude_code_lists(world: &World, home: &TempDir) {
    let mut claude = Command::new(sdks().join("claude/node_modules/.bin/claude"));
    claude.args(["mcp", "list"]).env("HOME", home.path()).current_dir(home.path());
    for quiet in ["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_AUTOUPDATER", "DISABLE_TELEMETRY"] {
        claude.env(quiet, "1");
    }
    let output = run(world, claude).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find(|line| line.starts_with("exai:")).unwrap_or_else(|| panic!("{output:?}"));
    assert!(line.contains("Connected"), "{said}");
    assert!(
        world.db.number("SELECT count(*) AS n FROM sessions WHERE client LIKE 'claude-code%'").await > 0,
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs Claude Code: tests/run installs it"]
async fn claude_code_by_websocket() {
    claude_code_connects("ws").await;
}

/// The token stands in the address, and no header is given.
#[tokio::test]
#[ignore = "needs Claude Code: tests/run installs it"]
async fn claude_code_by_websocket_and_address() {
    let world = World::start().await;
    let home = tempfile::tempdir().unwrap();
    let url = format!("ws://exai:{TOKEN}@{}/mcp", world.server.mcp);
    let servers = json!({ "mcpServers": { "exai": { "type": "ws", "url": url } } });
    std::fs::write(home.path().join(".claude.json"), servers.to_string()).unwrap();
    claude_code_lists(&world, &home).await;
}

#[tokio::test]
#[ignore = "needs Claude Code: tests/run installs it"]
async fn claude_code_by_http() {
    claude_code_connects("http").await;
}

#[tokio::test]
#[ignore = "needs Claude Code: tests/run installs it"]
async fn claude_code_by_stdio() {
    claude_code_connects("stdio").await;
}
