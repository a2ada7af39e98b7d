//! Bridges as clients launch them: real processes with pipes, around a daemon that they start themselves, in one home.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use exai_upstream::{Make, Upstream};
use serde_json::{Value, json};

use crate::exai::{Home, within};
use crate::ports::free_port;

/// The longest that anything may take that comes soon.
pub const SOON: Duration = Duration::from_secs(30);
pub const TOKEN: &str = "a-token-for-the-tests-of-stdio";

/// A home with settings and a double, where bridges and their daemon live. Daemons are killed when it is dropped.
pub struct Place {
    pub home: Home,
    pub kimi: Upstream,
    pub mcp: SocketAddr,
}

impl Place {
    pub fn new() -> Self {
        let (mut home, kimi) = (Home::new(), Upstream::start(Make::Kimi).unwrap());
        let (mcp, dashboard) = (free_port(), free_port());
        home.set("EXAI_LISTEN__MCP", &mcp.to_string());
        home.set("EXAI_LISTEN__DASHBOARD", &dashboard.to_string());
        home.set("EXAI_TOKEN", TOKEN);
        home.set("EXAI_PROVIDERS__KIMI__BASE_URL", &kimi.base_url());
        home.set("EXAI_PROVIDERS__KIMI__API_KEY", "sk-stdio");
        Self { home, kimi, mcp }
    }

    /// Launches a bridge.
    pub fn bridge(&self) -> Bridge {
        Bridge::of(self.home.command(&["stdio"]))
    }

    /// The processes of daemons that live here.
    pub fn daemons(&self) -> Vec<u32> {
        let home = format!("HOME={}", self.home.folder().display());
        let lives_here = |pid: &u32| {
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let is = |text: Vec<u8>, wanted: &str| {
                text.split(|byte| *byte == 0).any(|part| part == wanted.as_bytes())
            };
            is(read("environ"), &home) && is(read("cmdline"), "serve")
        };
        let pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(lives_here).filter(|pid| is_alive(*pid)).collect()
    }

    /// The one daemon that lives here.
    pub fn daemon(&self) -> u32 {
        let daemons = self.daemons();
        assert_eq!(daemons.len(), 1, "one daemon");
        daemons[0]
    }

    /// What daemons that bridges started have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub fn log_file(&self) -> PathBuf {
        self.home.folder().join(format!(".local/share/exai/daemon-{}.log", self.mcp.port()))
    }

    /// Waits until so many requests have reached the double.
    pub fn until_asked(&self, count: usize) {
        assert!(within(SOON, || self.kimi.journal().len() >= count), "{:?}", self.kimi.journal().len());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in self.daemons() {
            signal(pid, "KILL");
        }
        if std::thread::panicking() {
            show("daemon", &self.log());
        }
    }
}

/// A bridge, and a client at its pipes. Killed when dropped.
pub struct Bridge {
    pub child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Receiver<String>,
    /// Every message so far.
    pub seen: Vec<Value>,
    modern: bool,
}

impl Bridge {
    pub fn of(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (lines, said) = (collect(stdout), collect(stderr));
        Self { child, stdin, lines, said, seen: Vec::new(), modern: false }
    }

    /// Speaks 2026-07-28 from here on.
    pub fn modern(mut self) -> Self {
        self.modern = true;
        self
    }

    /// Shakes hands as 2025-11-25.
    pub fn shake_hands(&mut self) {
        let who = json!({ "name": "systest", "version": "1" });
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": who });
        let hello = self.request(0, "initialize", params);
        assert_eq!(hello["result"]["serverInfo"]["name"], "exai", "{hello}");
        self.tell(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    }

    pub fn tell(&mut self, message: &Value) {
        self.tell_bytes(format!("{message}\n").as_bytes());
    }

    pub fn tell_bytes(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub fn begin(&mut self, id: i64, method: &str, mut params: Value) {
        if self.modern {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
            meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "systest", "version": "2" });
        }
        self.tell(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    }

    /// Asks a model, with the id as progress token.
    pub fn begin_chat(&mut self, id: i64, prompt: &str) {
        let meta = json!({ "progressToken": id });
        self.begin(
            id,
            "tools/call",
            json!({ "name": "chat", "arguments": { "prompt": prompt }, "_meta": meta }),
        );
    }

    /// Waits for the answer of a request.
    pub fn answer(&mut self, id: i64) -> Value {
        self.until(|message| message["id"] == id && message["method"].is_null())
    }

    pub fn request(&mut self, id: i64, method: &str, params: Value) -> Value {
        self.begin(id, method, params);
        self.answer(id)
    }

    pub fn chat(&mut self, id: i64, prompt: &str) -> Value {
        self.begin_chat(id, prompt);
        self.answer(id)
    }

    /// Waits for a message like this, or finds it among those that came.
    pub fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(message) = self.seen.iter().find(|message| is_it(message)) {
                return message.clone();
            }
            let line =
                self.lines.recv_timeout(SOON).unwrap_or_else(|_| panic!("no such message: {:?}", self.seen));
            self.note(&line);
        }
    }

    /// Every answer to a request so far.
    pub fn answers(&self, id: i64) -> usize {
        self.seen.iter().filter(|message| message["id"] == id && message["method"].is_null()).count()
    }

    /// The progress of a request so far.
    pub fn progress(&self, id: i64) -> Vec<f64> {
        let of = |message: &&Value| message["params"]["progressToken"] == id;
        self.seen.iter().filter(of).map(|message| message["params"]["progress"].as_f64().unwrap()).collect()
    }

    /// Ends the input.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end, and reads the rest: the exit code.
    pub fn exit_code(&mut self, wait: Duration) -> Option<i32> {
        assert!(within(wait, || self.child.try_wait().unwrap().is_some()), "it lives on");
        while let Ok(line) = self.lines.recv() {
            self.note(&line);
        }
        self.child.wait().unwrap().code()
    }

    /// The next line of standard error.
    pub fn said(&mut self) -> String {
        self.said.recv_timeout(SOON).unwrap()
    }

    /// Everything on standard error, once it has ended.
    pub fn all_said(&mut self) -> Vec<String> {
        self.said.iter().collect()
    }

    fn note(&mut self, line: &str) {
        let message = serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{message}");
        self.seen.push(message);
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.said.try_iter().collect::<Vec<_>>().join("\n");
            show("bridge", &said);
        }
    }
}

fn collect(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("sh").args(["-c", &format!("kill -{name} {pid} 2>/dev/null")]).status();
}

/// Whether a process runs; one that nobody has buried does not.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[expect(clippy::print_stderr, reason = "for whoever looks at a failed test")]
fn show(who: &str, text: &str) {
    for line in text.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev() {
        eprintln!("  {who} | {line}");
    }
}
