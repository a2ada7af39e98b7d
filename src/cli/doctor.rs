//! `exai doctor`: looks at everything that EXAI needs, all at once, and says of each thing that it is well or how to mend it. It
//! changes nothing, and shows no secret.

mod clients;
mod finding;
mod here;
mod providers;
mod running;

use std::process::ExitCode;

use serde_json::json;

use super::args::Doctor;
use super::{Failure, block_on, output};
use crate::config::{Config, Inputs};
use crate::security::Token;
use crate::wiring;
use finding::Finding;

/// Looks and tells. Exits 0 when all is well, 1 when something is to be mended.
pub(super) fn run(inputs: &Inputs, doctor: &Doctor) -> Result<ExitCode, Failure> {
    let findings = match Config::load(inputs) {
        Ok(config) => examine(&config, inputs),
        Err(error) => vec![Finding::told("config", error.to_string())],
    };
    let ill = findings.iter().any(Finding::is_ill);
    if doctor.json {
        let rows = findings.iter().map(Finding::json).collect::<Vec<_>>();
        output::say(json!({ "ok": !ill, "checks": rows }).to_string())?;
    } else {
        for line in findings.iter().flat_map(Finding::lines) {
            output::say(output::harmless(&line))?;
        }
    }
    Ok(if ill { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn examine(config: &Config, inputs: &Inputs) -> Vec<Finding> {
    let token = Token::existing(config);
    let known = token.as_ref().ok().and_then(Option::as_ref);
    let mut findings = here::settings(config, inputs);
    findings.push(here::token(&token));
    findings.extend(wiring::problems(config).iter().map(here::start));
    let (database, outside) = std::thread::scope(|scope| {
        let database = scope.spawn(|| here::database(config));
        let outside = block_on(async {
            let (providers, running) =
                futures_util::join!(providers::all(&config.providers), running::all(config, known));
            providers.into_iter().chain(running).collect::<Vec<_>>()
        });
        (database.join().ok(), outside)
    });
    findings.extend(providers::without(config));
    findings.extend(outside);
    findings.extend(database);
    findings.push(here::disk(config));
    findings.extend(clients::all(config, inputs, known));
    findings
}
