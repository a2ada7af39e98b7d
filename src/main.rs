//! EXAI: a daemon that lets coding agents consult other models over MCP. This is the door: everything that touches the outside.

mod alerts;
mod cli;
mod config;
mod logs;
mod mcp;
mod replica;
mod routes;
mod security;
mod serving;
mod tls;
mod trial;
mod unix;
mod vitals;
mod wiring;

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Keeps blocks of one size together, so that whole pages are free when a crowd of sessions has gone, and gives these back to the
/// kernel within seconds, on a thread of its own.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
