//! A private Postgres for a measurement: the one of the tests (`tests/support/postgres.sh`), which fsyncs.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The server; stopped when dropped.
pub(crate) struct Postgres {
    shell: Child,
    /// Its admin's address.
    pub(crate) url: String,
}

impl Postgres {
    /// Starts one with the functions of this script.
    pub(crate) fn start(script: &Path) -> io::Result<Self> {
        let script = script.canonicalize()?;
        let orders =
            "trap stop_postgres EXIT; start_postgres || exit 1; echo \"$EXAI_TEST_POSTGRES_URL\"; read -r _";
        let mut shell = Command::new("sh")
            .args(["-c", &format!(". {}; {orders}", script.display())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        BufReader::new(shell.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).read_line(&mut url)?;
        let server = Self { shell, url: url.trim().to_owned() };
        if server.url.starts_with("postgres://") {
            Ok(server)
        } else {
            Err(io::Error::other("Postgres did not start"))
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The end of its input ends the shell, whose trap stops the server.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
