//! The table of MCP clients: where each keeps its servers, and how it writes one. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::document::Syntax;
use crate::config::Inputs;

/// The clients.
const TABLE: &str = include_str!("clients.toml");

/// How a client reaches the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// A WebSocket to the daemon.
    Ws,
    /// Streamable HTTP to the daemon.
    Http,
    /// `exai stdio`, which the client launches.
    Stdio,
}

/// One client.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    /// What people call it.
    pub(crate) name: String,
    /// The language of its file.
    pub(crate) syntax: Syntax,
    /// What holds its servers.
    pub(crate) section: String,
    /// What it speaks, the best first.
    pub(crate) transports: Vec<Transport>,
    /// Seconds after which it gives a call up where its entry does not say; none where it waits longer than any call takes.
    unset_s: Option<u64>,
    variable: Option<Variable>,
    file: BTreeMap<String, String>,
    entry: BTreeMap<Transport, Map<String, Value>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    file: String,
}

/// What an entry is filled in with.
#[derive(Debug)]
pub(crate) struct Filling {
    /// The WebSocket's address.
    pub(crate) ws: String,
    /// The address for Streamable HTTP.
    pub(crate) http: String,
    /// The value of the header `Authorization`.
    pub(crate) bearer: String,
    /// This program, and its arguments as a bridge.
    pub(crate) command: String,
    /// See `command`.
    pub(crate) arguments: Vec<String>,
    /// What the bridge needs of this environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// The longest that a client should wait for one call, in seconds.
    pub(crate) seconds: u64,
}

/// Every client, by the name that the command line takes.
pub(crate) fn all() -> BTreeMap<String, Client> {
    // The text is part of the program, and a test reads it.
    toml::from_str(TABLE).expect("the table of clients is well-formed")
}

/// A name of the table, for the command line.
pub(crate) fn known(name: &str) -> Result<String, String> {
    let all = all();
    if all.contains_key(name) {
        return Ok(name.to_owned());
    }
    Err(format!("use one of: {}", all.into_keys().collect::<Vec<_>>().join(", ")))
}

impl Client {
    /// Where it keeps its servers on `os` (as `std::env::consts::OS` has it); none where the user's folders are unknown.
    pub(crate) fn file(&self, os: &str, inputs: &Inputs) -> Option<PathBuf> {
        if let Some(variable) = &self.variable
            && let Some(folder) = inputs.path(&variable.name)
        {
            return Some(folder.join(&variable.file));
        }
        let pattern = self.file.get(os).or_else(|| self.file.get("linux"))?;
        let home = || inputs.path("HOME").or_else(|| inputs.path("USERPROFILE"));
        let (folder, rest) = pattern.split_once('/')?;
        let folder = match folder {
            "{config}" => inputs
                .path("XDG_CONFIG_HOME")
                .filter(|path| path.is_absolute())
                .or_else(|| Some(home()?.join(".config"))),
            "{appdata}" => inputs.path("APPDATA").or_else(|| Some(home()?.join("AppData/Roaming"))),
            _ => home(),
        };
        Some(folder?.join(rest))
    }

    /// How it writes a server, before anything is filled in; none where it does not speak `transport`.
    pub(crate) fn shape(&self, transport: Transport) -> Option<&Map<String, Value>> {
        self.entry.get(&transport)
    }

    /// How long it waits for a call by this entry, and the key that says so; none where it waits longer than any call takes.
    pub(crate) fn patience(&self, transport: Transport, entry: &Value) -> Option<(&str, Duration)> {
        let units = self.shape(transport)?.iter().filter_map(|(key, value)| match value.as_str()? {
            "{seconds}" => Some((key.as_str(), Duration::from_secs(1))),
            "{milliseconds}" => Some((key.as_str(), Duration::from_millis(1))),
            _ => None,
        });
        let (key, unit) = units.into_iter().next()?;
        let set =
            entry[key].as_u64().map(|count| unit.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)));
        Some((key, set.or_else(|| self.unset_s.map(Duration::from_secs))?))
    }

    /// How it writes EXAI as a server; none where it does not speak `transport`.
    pub(crate) fn entry(&self, transport: Transport, filling: &Filling) -> Option<Value> {
        let filled = self.entry.get(&transport)?.iter().filter_map(|(key, value)| {
            let value = filling.fill(value);
            let empty = value.as_object().is_some_and(Map::is_empty);
            (!empty).then(|| (key.clone(), value))
        });
        Some(Value::Object(filled.collect()))
    }
}

impl Filling {
    fn fill(&self, value: &Value) -> Value {
        if let Some(object) = value.as_object() {
            return object.iter().map(|(key, value)| (key.clone(), self.fill(value))).collect();
        }
        match value.as_str() {
            Some("{ws}") => json!(self.ws),
            Some("{http}") => json!(self.http),
            Some("{bearer}") => json!(self.bearer),
            Some("{command}") => json!(self.command),
            Some("{arguments}") => json!(self.arguments),
            Some("{environment}") => json!(self.environment),
            Some("{seconds}") => json!(self.seconds),
            Some("{milliseconds}") => json!(self.seconds * 1000),
            Some(_) | None => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_a_file_on_every_system_and_an_entry_for_what_it_speaks() {
        let inputs = Inputs::of(&[("HOME", "/h"), ("APPDATA", "/a")]);
        let filling = Filling {
            ws: "ws://x".into(),
            http: "http://x".into(),
            bearer: "Bearer t".into(),
            command: "/exai".into(),
            arguments: vec!["stdio".into()],
            environment: BTreeMap::new(),
            seconds: 960,
        };
        for (id, client) in all() {
            for os in ["linux", "macos", "windows"] {
                assert!(client.file.contains_key(os), "{id} on {os}");
                assert!(client.file(os, &inputs).unwrap().is_absolute(), "{id} on {os}");
            }
            assert_eq!(client.transports.len(), client.entry.len(), "{id}");
            for transport in &client.transports {
                let entry = client.entry(*transport, &filling).unwrap();
                assert!(
                    !entry.to_string().contains('{') || !entry.to_string().contains("\"{"),
                    "{id} {entry}"
                );
            }
        }
    }

    #[test]
    fn each_system_has_its_own_folders() {
        let inputs = Inputs::of(&[("HOME", "/h"), ("APPDATA", "/a")]);
        let file = |client: &str, os: &str| all()[client].file(os, &inputs).unwrap();
        assert_eq!(file("vscode", "linux"), PathBuf::from("/h/.config/Code/User/mcp.json"));
        assert_eq!(
            file("vscode", "macos"),
            PathBuf::from("/h/Library/Application Support/Code/User/mcp.json")
        );
        assert_eq!(file("vscode", "windows"), PathBuf::from("/a/Code/User/mcp.json"));
        let moved = Inputs::of(&[("HOME", "/h"), ("CODEX_HOME", "/c"), ("XDG_CONFIG_HOME", "/x")]);
        assert_eq!(all()["codex"].file("linux", &moved).unwrap(), PathBuf::from("/c/config.toml"));
        assert!(all()["claude-desktop"].file("linux", &moved).unwrap().starts_with("/x/Claude"));
    }
}
