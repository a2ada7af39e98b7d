//! The real daemon as a child process: a home of its own, nothing of the machine's environment but the search path, free ports, and
//! everything that it writes kept for the test to read.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use exai_actors::clock;
use exai_upstream::Upstream;
use serde_json::Value;
use tempfile::TempDir;

use crate::ws;

/// What clients present.
pub const TOKEN: &str = "a-token-of-the-system-tests";
/// The longest that anything may take that comes soon.
pub const SOON: Duration = Duration::from_secs(20);
/// Log lines that are shown of a failed test.
const SHOWN_LINES: usize = 40;
const POLL: Duration = Duration::from_millis(5);

/// What the daemon is started with.
#[derive(Default)]
pub struct Setup {
    variables: BTreeMap<String, String>,
    config: String,
}

impl Setup {
    /// Sets a variable of its environment.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sends a built-in provider's calls to a double.
    pub fn provider(&mut self, name: &str, double: &Upstream) -> &mut Self {
        let name = name.to_ascii_uppercase();
        self.set(&format!("EXAI_PROVIDERS__{name}__BASE_URL"), &double.base_url());
        self.set(&format!("EXAI_PROVIDERS__{name}__API_KEY"), &format!("sk-{name}"))
    }

    /// Writes `exai.toml`.
    pub fn config(&mut self, text: &str) -> &mut Self {
        text.clone_into(&mut self.config);
        self
    }
}

/// A daemon; killed when dropped. What it said is shown when its test fails.
pub struct Server {
    home: TempDir,
    variables: BTreeMap<String, String>,
    child: Child,
    readers: Vec<JoinHandle<()>>,
    said: Arc<Mutex<Vec<u8>>>,
    /// Where MCP clients connect.
    pub mcp: SocketAddr,
    /// Where people and probes connect.
    pub dashboard: SocketAddr,
}

impl Server {
    /// Starts one and waits until it listens.
    pub async fn start(setup: impl FnOnce(&mut Setup)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut with = Setup::default();
        with.set("EXAI_LISTEN__MCP", "127.0.0.1:0").set("EXAI_LISTEN__DASHBOARD", "127.0.0.1:0");
        with.set("EXAI_TOKEN", TOKEN).set("EXAI_LIMITS__DEADLINE_S", "60");
        setup(&mut with);
        std::fs::write(home.path().join("exai.toml"), &with.config).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (child, readers) = spawn(&home, &with.variables, &said);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let variables = with.variables;
        let mut server = Self { home, variables, child, readers, said, mcp: nowhere, dashboard: nowhere };
        server.until_listening(0).await;
        server
    }

    /// Ends it as a crash would, and waits until it is gone.
    pub async fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.exit_code(SOON).await;
    }

    /// Starts it again, after its end, with the same home, the same settings and the same database.
    pub async fn restart(&mut self) {
        assert!(self.child.try_wait().unwrap().is_some(), "it still runs");
        let before = self.output().len();
        (self.child, self.readers) = spawn(&self.home, &self.variables, &self.said);
        self.until_listening(before).await;
    }

    /// Tells it to end.
    pub fn sigterm(&self) {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(sent.unwrap().success());
    }

    /// Tells it to read its settings again.
    pub fn sighup(&self) {
        let sent = Command::new("sh").args(["-c", &format!("kill -HUP {}", self.child.id())]).status();
        assert!(sent.unwrap().success());
    }

    /// Writes `exai.toml` anew.
    pub fn write_config(&self, text: &str) {
        std::fs::write(self.home.path().join("exai.toml"), text).unwrap();
    }

    /// Waits for its end: its exit code, none after a signal.
    pub async fn exit_code(&mut self, within: Duration) -> Option<i32> {
        let by = clock::now() + within;
        while clock::now() < by {
            if let Some(status) = self.child.try_wait().unwrap() {
                for reader in self.readers.drain(..) {
                    reader.join().unwrap();
                }
                return status.code();
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("it did not end within {within:?}");
    }

    /// Runs a command of the same binary against it: exit code and what it said.
    pub async fn command(&self, command: &str) -> (Option<i32>, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_exai"));
        child.arg(command).current_dir(self.home.path()).env_clear().envs(&self.variables);
        child.env("HOME", self.home.path()).env("EXAI_LISTEN__MCP", self.mcp.to_string());
        child.env("EXAI_LISTEN__DASHBOARD", self.dashboard.to_string());
        let ran = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
        let said = [ran.stdout, ran.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        (ran.status.code(), said.concat())
    }

    /// Everything that it wrote, on both streams, in all its lives.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// `GET` on the dashboard's port, with the token: status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        ask(self.dashboard, "GET", path, "").await
    }

    /// Runs another command of the binary beside it, at its addresses, to its end: exit code and everything that it wrote.
    pub async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_exai"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command.env("HOME", self.home.path()).envs(&self.variables);
        command.env("EXAI_LISTEN__MCP", self.mcp.to_string());
        command.env("EXAI_LISTEN__DASHBOARD", self.dashboard.to_string());
        let ran = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output()).await;
        let ran = ran.unwrap().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// `/health`, as JSON.
    pub async fn health(&self) -> Value {
        serde_json::from_str(&self.get("/health").await.1).unwrap()
    }

    /// `POST` on the clients' port: the status.
    pub async fn post(&self, path: &str) -> u16 {
        ask(self.mcp, "POST", path, "").await.0
    }

    /// `POST` on the dashboard's port, with the token: status and body.
    pub async fn post_dashboard(&self, path: &str) -> (u16, String) {
        ask(self.dashboard, "POST", path, "").await
    }

    /// Closes the breakers and gates of a provider and takes it out of its parking, as an operator would.
    pub async fn reset_breakers(&self, provider: &str) {
        let (status, body) =
            self.operate(&serde_json::json!({ "provider": provider, "order": "reset" })).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Gives an operator's order: status and body.
    pub async fn operate(&self, order: &Value) -> (u16, String) {
        ask(self.dashboard, "POST", "/api/breakers", &order.to_string()).await
    }

    /// Waits until `/health/ready` answers this status.
    pub async fn until_ready(&self, status: u16) {
        let by = clock::now() + SOON;
        while self.get("/health/ready").await.0 != status {
            assert!(clock::now() < by, "/health/ready never became {status}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn until_listening(&mut self, from: usize) {
        let by = clock::now() + SOON;
        loop {
            let said = self.output();
            let line =
                said[from..].lines().find(|line| line.contains("listening") && line.contains("dashboard"));
            if let Some(line) = line.filter(|_| said.ends_with('\n')) {
                self.mcp = address(line, "mcp");
                self.dashboard = address(line, "dashboard");
                break;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before it listened:\n{said}");
            assert!(clock::now() < by, "it never listened:\n{said}");
            tokio::time::sleep(POLL).await;
        }
        if !self.variables.contains_key("EXAI_LISTEN__TLS_CERT") {
            self.until_ready(200).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            show(&self.output());
        }
    }
}

/// The end of what it wrote, which libtest keeps with the test that failed.
#[expect(clippy::print_stderr, reason = "for whoever looks at a failed test")]
fn show(output: &str) {
    let lines = output.lines().rev().take(SHOWN_LINES).collect::<Vec<_>>();
    for line in lines.iter().rev() {
        eprintln!("  exai | {line}");
    }
}

/// Runs the binary to its end without waiting for it to listen: exit code and everything that it wrote.
pub async fn run_to_end(setup: impl FnOnce(&mut Setup)) -> (Option<i32>, String) {
    let home = tempfile::tempdir().unwrap();
    let mut with = Setup::default();
    setup(&mut with);
    let said = Arc::new(Mutex::new(Vec::new()));
    let (child, readers) = spawn(&home, &with.variables, &said);
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let variables = with.variables;
    let mut server = Server { home, variables, child, readers, said, mcp: nowhere, dashboard: nowhere };
    let code = server.exit_code(SOON).await;
    (code, server.output())
}

fn spawn(
    home: &TempDir,
    variables: &BTreeMap<String, String>,
    said: &Arc<Mutex<Vec<u8>>>,
) -> (Child, Vec<JoinHandle<()>>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exai"));
    command.arg("serve").current_dir(home.path()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home.path()).envs(variables);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let streams: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
    let readers = streams.into_iter().map(|stream| collect(stream, Arc::clone(said))).collect();
    (child, readers)
}

fn collect(mut stream: Box<dyn Read + Send>, said: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut piece = [0; 8192];
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            said.lock().unwrap().extend_from_slice(&piece[..read]);
        }
    })
}

/// The address that a log line, as text or JSON, gives under this name.
fn address(line: &str, name: &str) -> SocketAddr {
    let after =
        line.split(&format!("{name}=")).nth(1).or_else(|| line.split(&format!("\"{name}\":\"")).nth(1));
    let text = after.unwrap().chars().take_while(|char| char.is_ascii_digit() || ".:".contains(*char));
    text.collect::<String>().parse().unwrap()
}

async fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let (bearer, length) = (format!("Bearer {TOKEN}"), body.len().to_string());
    let headers =
        [("Authorization", bearer.as_str()), ("Content-Length", length.as_str()), ("Connection", "close")];
    match ws::open_with(to, method, path, &headers, body).await.unwrap() {
        ws::Opened::Refused(answer) => (answer.status, answer.body),
        ws::Opened::Ws(_) => panic!("{path} is no WebSocket"),
    }
}
