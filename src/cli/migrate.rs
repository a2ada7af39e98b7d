//! `exai migrate`: brings the database's tables up to date, as `exai serve` does at its start.

use std::process::ExitCode;

use exai_actors::storage;

use super::{Failure, output};
use crate::config::{Config, Inputs};

/// Applies what is missing and says what that was.
pub(super) fn run(inputs: &Inputs) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    let done = storage::migrate(&config.storage.url).map_err(Failure::of)?;
    for migration in &done.applied {
        output::say(format!("applied {migration}"))?;
    }
    output::say(format!("{} is at {}", config.storage.url, done.version))?;
    Ok(ExitCode::SUCCESS)
}
