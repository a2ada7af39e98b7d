//! A Postgres of one test's own, that it may kill: `postgres.sh` in a shell that takes orders.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The server; stopped when dropped.
pub struct Postgres {
    shell: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Its admin's address.
    pub url: String,
}

impl Postgres {
    /// Starts one.
    pub fn start() -> Self {
        let support = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/postgres.sh");
        let script = format!(
            ". {support}; trap stop_postgres EXIT; start_postgres || exit 1
            echo \"$EXAI_TEST_POSTGRES_URL\"
            while read -r order; do $order; echo done; done"
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let orders = shell.stdin.take().unwrap();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        let mut server = Self { shell, orders, answers, url: String::new() };
        server.url = server.answer();
        assert!(server.url.starts_with("postgres://"), "it did not start");
        server
    }

    /// Runs a function of `postgres.sh`.
    pub fn order(&mut self, function: &str) {
        writeln!(self.orders, "{function}").unwrap();
        assert_eq!(self.answer(), "done");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The end of its input ends the shell, whose trap stops the server.
        let _ = writeln!(self.orders, "exit 0");
        let _ = self.shell.wait();
    }
}
