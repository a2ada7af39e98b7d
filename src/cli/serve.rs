//! `exai serve`: the daemon.

use std::process::ExitCode;

use log::LevelFilter;

use super::Failure;
use super::args::Serve;
use crate::config::{Config, Inputs};
use crate::{logs, unix, wiring};

/// Runs until it is told to stop.
pub(super) fn run(inputs: &Inputs, serve: &Serve) -> Result<ExitCode, Failure> {
    if serve.own_session {
        unix::leave_session().map_err(Failure::of)?;
    }
    let config = Config::load(inputs)?;
    logs::start(config.log.format, LevelFilter::Info).map_err(Failure::of)?;
    for provider in &config.left_out {
        log::info!(provider = provider.name.as_str(), reason = provider.reason.as_str(); "provider left out");
    }
    if config.providers.is_empty() {
        log::warn!("no provider has a key: every call will be refused; set MOONSHOT_API_KEY or ZAI_API_KEY");
    }
    let running = wiring::start(config, Some(inputs.clone()))?;
    if running.token.is_weak() {
        log::warn!("the token is short enough to be guessed; unset EXAI_TOKEN to have one generated");
    }
    log::info!(mcp = running.mcp.to_string().as_str(), dashboard = running.dashboard.to_string().as_str(); "listening");
    Ok(running.wait())
}
