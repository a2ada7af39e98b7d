//! The command line: one file a command. Answers go to standard output, everything else to standard error; a failure names what to
//! do.

mod args;
mod ask;
mod audit;
mod chaos;
mod connect;
mod demo;
mod doctor;
mod events;
mod health;
mod migrate;
mod output;
mod reload;
mod serve;
mod status;
mod stdio;
mod target;
mod token;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{ConfigError, Inputs};
use crate::security::TokenError;
use crate::wiring::StartError;
use args::{Command, Line};
use output::Unsaid;

/// Bad configuration or usage; clap's own code for the latter.
const MISUSED: u8 = 2;
/// Ended by Ctrl-C, as shells say it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// Reads the command line and does what it says.
pub(crate) fn run() -> ExitCode {
    let line = Line::parse();
    let inputs = Inputs::of_process(line.config);
    let done = match line.command {
        Command::Serve(serve) => serve::run(&inputs, &serve),
        Command::Demo(demo) => demo::run(&inputs, &demo),
        Command::Chaos(chaos) => chaos::run(&chaos),
        Command::Ask(ask) => ask::run(&inputs, ask),
        Command::Stdio => stdio::run(&inputs),
        Command::Status(status) => status::run(&inputs, &status),
        Command::Audit(audit) => audit::run(&inputs, &audit),
        Command::Events(events) => events::run(&inputs, &events),
        Command::Health => health::run(&inputs),
        Command::Migrate => migrate::run(&inputs),
        Command::Connect(connect) => connect::run(&inputs, &connect),
        Command::Doctor(doctor) => doctor::run(&inputs, &doctor),
        Command::Token(token) => token::run(&inputs, token),
        Command::Reload => reload::run(&inputs),
    };
    done.unwrap_or_else(|failure| {
        output::error(failure.error.as_ref());
        ExitCode::from(failure.code)
    })
}

/// A command that failed.
struct Failure {
    code: u8,
    error: Box<dyn Error>,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { code: MISUSED, error: Box::new(error) }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self { code: if error.is_misconfigured() { MISUSED } else { 1 }, error: Box::new(error) }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { code: if error.is_misconfigured() { MISUSED } else { 1 }, error: Box::new(error) }
    }
}

impl From<Unsaid> for Failure {
    fn from(error: Unsaid) -> Self {
        Self::of(error)
    }
}

impl Failure {
    /// Anything but a bad configuration.
    fn of(error: impl Into<Box<dyn Error>>) -> Self {
        Self { code: 1, error: error.into() }
    }
}

/// Runs a client's part of a command on an actix system of its own.
fn block_on<F: Future>(work: F) -> F::Output {
    actix_rt::System::new().block_on(work)
}
