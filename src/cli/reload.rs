//! `exai reload`: the running daemon reads its keys and limits again.

use std::process::ExitCode;

use serde_json::Value;

use super::{Failure, block_on, output, target};
use crate::config::{Config, Inputs};
use crate::security::Token;

/// The daemon kept what it had, or some of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Prints what has changed, and what has to wait for a restart. Needs the scope `admin`.
pub(super) fn run(inputs: &Inputs) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    let token = Token::of(&config)?;
    let asked = block_on(target::post(&config.listen, "/api/reload", Some(&token)));
    let (done, told) = asked.map_err(Failure::of)?;
    let keys = |name: &str| told[name].as_array().cloned().unwrap_or_default();
    let (changed, restart) = (keys("changed"), keys("restart"));
    for (keys, what) in [(&changed, "changed"), (&restart, "waits for a restart")] {
        for key in keys.iter().filter_map(Value::as_str) {
            output::say(format!("{what}: {}", output::harmless(key)))?;
        }
    }
    if !done {
        let why = told["error"]["message"].as_str().unwrap_or("the daemon gave no reason");
        return Err(Failure::of(Refused(output::harmless(why))));
    }
    if changed.is_empty() && restart.is_empty() {
        output::say("nothing has changed")?;
    }
    Ok(ExitCode::SUCCESS)
}
