//! `exai health`: a probe for container health checks.

use std::process::ExitCode;

use super::{Failure, block_on, output, target};
use crate::config::{Config, Inputs};

/// Exits 0 if the running daemon takes calls, 1 if not.
pub(super) fn run(inputs: &Inputs) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    let probe = target::get(&config.listen, "/health/ready", None);
    let (ready, report) = block_on(probe).map_err(Failure::of)?;
    if ready {
        output::say("ready")?;
        return Ok(ExitCode::SUCCESS);
    }
    output::say(format!("not ready: {}", report["reason"].as_str().unwrap_or("no reason given")))?;
    Ok(ExitCode::FAILURE)
}
