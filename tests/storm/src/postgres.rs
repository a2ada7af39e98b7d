//! A private Postgres that the storm may stop and freeze: `tests/support/postgres.sh` in a shell that takes orders.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The server; stopped when dropped.
pub(crate) struct Postgres {
    shell: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Its admin's address.
    pub(crate) url: String,
}

impl Postgres {
    /// Starts one with the functions of this script.
    pub(crate) fn start(script: &Path) -> io::Result<Self> {
        let orders = "trap stop_postgres EXIT; start_postgres || exit 1
            echo \"$EXAI_TEST_POSTGRES_URL\"
            while read -r order; do $order; echo done; done";
        let script = format!(". {}; {orders}", script.canonicalize()?.display());
        let mut shell = Command::new("sh");
        let mut shell = shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let answers = BufReader::new(shell.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut server = Self { shell, orders, answers, url: String::new() };
        server.url = server.answer()?;
        if server.url.starts_with("postgres://") {
            Ok(server)
        } else {
            Err(io::Error::other("Postgres did not start"))
        }
    }

    /// Runs a function of the script.
    pub(crate) fn order(&mut self, function: &str) -> io::Result<()> {
        writeln!(self.orders, "{function}")?;
        if self.answer()? == "done" { Ok(()) } else { Err(io::Error::other(format!("{function} failed"))) }
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The end of its input ends the shell, whose trap stops the server. One that is frozen must hear that too.
        let _ = writeln!(self.orders, "unpause_postgres 2>/dev/null");
        let _ = writeln!(self.orders, "exit 0");
        let _ = self.shell.wait();
    }
}
