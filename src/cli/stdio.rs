//! `exai stdio`: a bridge that an MCP client launches, between its standard input and output and the daemon's WebSocket. It outlives the
//! daemon and starts it where there is none, so that a client notices nothing of a restart; standard output carries nothing but
//! JSON-RPC. It knows nothing of MCP but who waits for what.

mod bridge;
mod daemon;
mod ledger;
mod lines;
mod message;
mod outage;

use std::process::ExitCode;
use std::time::Duration;

use log::LevelFilter;

use self::bridge::{Bridge, Setup};
use self::daemon::Daemon;
use super::{Failure, block_on};
use crate::config::{Config, Inputs};
use crate::{logs, tls, unix};

/// How long the answers that are under way at the end of the input are waited for.
const LAST_ANSWERS: Duration = Duration::from_millis(600);
/// How often it is looked whether the client still lives.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Random bytes of a call's name.
const KEY_BYTES: usize = 16;

/// Bridges until the input ends, the client dies or nobody reads the output; then within a second, whatever hangs.
pub(super) fn run(inputs: &Inputs) -> Result<ExitCode, Failure> {
    let client = unix::parent();
    let config = Config::load(inputs)?;
    logs::start(config.log.format, LevelFilter::Info).map_err(Failure::of)?;
    std::thread::spawn(move || {
        while unix::parent() == client {
            std::thread::sleep(LOOK_EVERY);
        }
        std::process::exit(0);
    });
    let message_bytes_max = config.limits.message_bytes;
    let input = lines::read(message_bytes_max, || {
        std::thread::sleep(LAST_ANSWERS);
        std::process::exit(0);
    });
    let (output, writer) = lines::write().map_err(Failure::of)?;
    let setup = Setup {
        input,
        output,
        draw_key,
        message_bytes_max,
        at_once: usize::try_from(config.limits.burst / 2).unwrap_or(usize::MAX).max(1),
        apart: Duration::from_secs(1) / config.limits.requests_per_second.max(1),
    };
    let tls = tls::pinned(&config.listen).map_err(Failure::of)?;
    let daemon = Daemon::new(config, tls, inputs).map_err(Failure::of)?;
    block_on(async { Bridge::new(setup, daemon).run().await });
    // The last answers are written, or nobody reads them.
    let _ = writer.join();
    Ok(ExitCode::SUCCESS)
}

/// A name for a call; empty, and so refused by the daemon, where the system has no randomness.
fn draw_key() -> String {
    let mut bytes = [0; KEY_BYTES];
    if getrandom::fill(&mut bytes).is_err() {
        return String::new();
    }
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("exai-stdio-{hex}")
}
