//! What an entry says of this daemon, and what of its settings the entry cannot carry.

use std::collections::BTreeMap;
use std::path::Path;

use super::ConnectError;
use super::clients::{Filling, Transport};
use crate::cli::target;
use crate::config::{Config, Inputs, Source};
use crate::security::Token;

/// What a client waits for beyond the longest call: the answer's way.
const BEYOND_DEADLINE_S: u64 = 60;
/// The settings that tell a bridge where its daemon is. They are no secrets.
const CARRIED: &str = "listen.";
/// Those of them that name files.
const FILES: [&str; 2] = ["listen.tls_cert", "listen.tls_key"];

/// What an entry says of this daemon.
pub(super) fn of(
    config: &Config,
    inputs: &Inputs,
    token: &Token,
    transport: Transport,
) -> Result<Filling, ConnectError> {
    let address = target::reach(config.listen.mcp);
    let mut environment = BTreeMap::new();
    let mut arguments = Vec::new();
    let mut command = String::new();
    if transport == Transport::Stdio {
        let program = std::env::current_exe().map_err(ConnectError::NoProgram)?;
        command = program.display().to_string();
        // A client starts the bridge in a folder of its own choice.
        if let Some(found) = inputs.config_file() {
            let named = absolute(&found);
            arguments.extend(["--config".to_owned(), named]);
        }
        arguments.push("stdio".to_owned());
        // A client starts the bridge without this environment.
        if config.token.is_some() {
            environment.insert("EXAI_TOKEN".to_owned(), token.reveal().to_owned());
        }
        for (key, name) in variables(config).filter(|(key, _)| key.starts_with(CARRIED)) {
            let value = inputs.variable(name)?.unwrap_or_default();
            let value = if FILES.contains(&key) { absolute(Path::new(value)) } else { value.to_owned() };
            environment.insert(name.to_owned(), value);
        }
    }
    let s = if config.listen.tls_cert.is_some() { "s" } else { "" };
    Ok(Filling {
        ws: format!("ws{s}://{address}/mcp"),
        http: format!("http{s}://{address}/mcp"),
        bearer: format!("Bearer {}", token.reveal()),
        command,
        arguments,
        environment,
        seconds: config.limits.deadline.as_secs() + BEYOND_DEADLINE_S,
    })
}

/// What a daemon that this client's bridge starts would lack, one line each: what only this environment has. Names no value.
pub(super) fn left_behind(config: &Config) -> Vec<String> {
    let from_file = |key: &str| matches!(config.sources().of(key), Source::File { .. });
    let keys = config.providers.iter().filter(|one| one.api_key.is_some()).map(|one| one.name.as_str());
    let keys = keys.filter(|name| !from_file(&format!("providers.{name}.api_key"))).map(|name| {
        format!(
            "note: the key of {name} is in this environment only, which the client does not hand on; fix: put it into exai.toml \
             (providers.{name}.api_key), or start the daemon with it: `exai serve`"
        )
    });
    let others = variables(config).filter(|(key, _)| !key.starts_with(CARRIED) && !key.ends_with(".api_key"));
    let others = others.map(|(key, name)| {
        format!("note: {name} is not carried into the client's file; fix: put {key} into exai.toml, if the daemon needs it")
    });
    keys.chain(others).collect()
}

/// The keys that variables set, and which.
fn variables(config: &Config) -> impl Iterator<Item = (&str, &str)> {
    config.sources().iter().filter_map(|(key, source)| match source {
        Source::Variable(name) => Some((key, name.as_str())),
        Source::File { .. } | Source::Default => None,
    })
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
