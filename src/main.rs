//! EXAI: a daemon that lets coding agents consult other models over MCP. This is the door: everything that touches the outside.

mod cli;
mod config;
mod logs;
mod mcp;
mod replica;
mod routes;
mod security;
mod unix;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
