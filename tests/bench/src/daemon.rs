//! A daemon under measurement: a child process with an empty environment and a database of its own, killed when dropped.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::Process;

/// The token that opens it.
pub(crate) const TOKEN: &str = "bench-token-bench-token-bench-token";

/// A running daemon.
pub(crate) struct Daemon {
    child: Child,
    /// Where its MCP clients connect.
    pub(crate) mcp: SocketAddr,
    /// Where it answers people and probes.
    pub(crate) dashboard: SocketAddr,
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
        let mut lines = BufReader::new(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let addresses = listening(&mut lines)?;
        // Its further lines must go somewhere, or it would stand still when the pipe is full.
        std::thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        let Some((mcp, dashboard)) = addresses else {
            child.wait()?;
            return Err(io::Error::other("it ended before it was ready"));
        };
        Ok(Self { child, mcp, dashboard, _folder: folder })
    }

    /// What the kernel says about it.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both addresses, MCP's first, in the line that says `listening`.
fn listening(lines: &mut BufReader<impl Read>) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        if let Some(both) = address(&line, "mcp").zip(address(&line, "dashboard")) {
            return Ok(Some(both));
        }
        line.clear();
    }
    Ok(None)
}

fn address(line: &str, name: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    rest.split_whitespace().next()?.parse().ok()
}
