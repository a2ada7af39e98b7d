//! A daemon under measurement: a child process with an empty environment and a database of its own, killed when dropped.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The token that opens it.
pub(crate) const TOKEN: &str = "bench-token-bench-token-bench-token";

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    /// Where its MCP clients connect.
    pub(crate) mcp: String,
    _folder: TempDir,
}

impl Daemon {
    /// Starts it on free ports, with both providers configured and nowhere to reach them; returns once it says that it is ready.
    pub(crate) fn start(exai: &Path) -> io::Result<Self> {
        Self::start_with(exai, &[])
    }

    /// The same, with these variables beside, or instead of, its own.
    pub(crate) fn start_with(exai: &Path, variables: &[(&str, String)]) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut child = Command::new(exai)
            .arg("serve")
            .env_clear()
            .env("HOME", folder.path())
            .env("EXAI_LISTEN__MCP", "127.0.0.1:0")
            .env("EXAI_LISTEN__DASHBOARD", "127.0.0.1:0")
            .env("EXAI_TOKEN", TOKEN)
            .env("MOONSHOT_API_KEY", "none")
            .env("ZAI_API_KEY", "none")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?).lines();
        let mcp = lines.by_ref().map_while(Result::ok).find_map(|line| address_in(&line));
        // Its further lines must go somewhere, or it would stand still when the pipe is full.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let mcp = mcp.ok_or_else(|| io::Error::other("it ended before it was ready"))?;
        Ok(Self { child, mcp, _folder: folder })
    }

    /// The resident memory of the process, in KiB (`VmRSS`, proc(5)).
    pub(crate) fn rss_kib(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| io::Error::other("the kernel tells no VmRSS"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the line that says `ready`.
fn address_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" mcp=")?;
    rest.split_whitespace().next().map(str::to_owned)
}
