//! The daemon under the storm: a child process in a home of its own, with nothing of the machine's environment; killed when dropped.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{self, Instant};

/// How long it may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
/// Warnings, errors and strange lines that are kept, for whoever looks at a violation.
const LINES_KEPT: usize = 200;
const POLL: Duration = Duration::from_millis(2);

/// What a daemon is started with.
#[derive(Clone)]
pub(crate) struct Start {
    /// The binary.
    pub(crate) exai: PathBuf,
    /// Its home.
    pub(crate) home: PathBuf,
    /// Its environment, whole.
    pub(crate) variables: Vec<(String, String)>,
}

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    said: Arc<Mutex<Said>>,
    /// Where MCP clients connect.
    pub(crate) mcp: SocketAddr,
    /// Where people and probes connect.
    pub(crate) dashboard: SocketAddr,
    /// When it said that it listens.
    pub(crate) listening: Instant,
}

#[derive(Default)]
struct Said {
    lines: VecDeque<String>,
    listening: Option<(SocketAddr, SocketAddr, Instant)>,
}

impl Daemon {
    /// Starts it and waits until it says that it listens.
    pub(crate) async fn start(start: &Start) -> io::Result<Self> {
        let mut child = Command::new(&start.exai)
            .arg("serve")
            .current_dir(&start.home)
            .env_clear()
            .env("HOME", &start.home)
            .envs(start.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = Arc::new(Mutex::new(Said::default()));
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let heard = Arc::clone(&said);
        std::thread::spawn(move || listen(BufReader::new(stderr), &heard));
        let by = clock::now() + LISTENS_WITHIN;
        loop {
            let listening = said.lock().unwrap_or_else(PoisonError::into_inner).listening;
            if let Some((mcp, dashboard, listening)) = listening {
                return Ok(Self { child, said, mcp, dashboard, listening });
            }
            let ended = child.try_wait()?;
            if ended.is_some() || clock::now() >= by {
                // It may have ended already.
                let _ = child.kill();
                let _ = child.wait();
                let lines = tail(&said, 5).join("\n");
                return Err(io::Error::other(format!("the daemon never listened ({ended:?}):\n{lines}")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill9(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.exit(Duration::from_secs(10)).await.map(drop)
    }

    /// Tells it to end.
    pub(crate) fn sigterm(&self) -> io::Result<()> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other("SIGTERM could not be sent")) }
    }

    /// Waits for its end, at most so long: its exit code, none after a signal.
    pub(crate) async fn exit(&mut self, within: Duration) -> io::Result<Option<i32>> {
        let by = clock::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            if clock::now() >= by {
                return Err(io::ErrorKind::TimedOut.into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The resident memory of the process, in KiB (`VmRSS`, proc(5)).
    pub(crate) fn rss_kib(&self) -> io::Result<u64> {
        let status = fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| io::Error::other("the kernel tells no VmRSS"))
    }

    /// The last lines that it wrote, but for what merely informs and for failed calls.
    pub(crate) fn tail(&self, lines: usize) -> Vec<String> {
        tail(&self.said, lines)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(said: &Mutex<Said>, lines: usize) -> Vec<String> {
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.lines.iter().skip(said.lines.len().saturating_sub(lines)).cloned().collect()
}

fn listen(from: impl BufRead, said: &Mutex<Said>) {
    for line in from.lines().map_while(Result::ok) {
        let now = clock::now();
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.listening.is_none() && line.contains("listening") {
            let addresses = address(&line, "mcp").zip(address(&line, "dashboard"));
            said.listening = addresses.map(|(mcp, dashboard)| (mcp, dashboard, now));
        }
        if line.contains(" INFO ") || line.contains(" call ended ") {
            continue;
        }
        if said.lines.len() >= LINES_KEPT {
            said.lines.pop_front();
        }
        said.lines.push_back(line);
    }
}

/// The address that a log line gives under this name.
fn address(line: &str, name: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    rest.split_whitespace().next()?.parse().ok()
}
