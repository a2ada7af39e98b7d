//! `exai connect`: puts EXAI among the servers of an MCP client, and takes it out again. Shows what it changes, and changes nothing
//! else in the client's file.

pub(super) mod clients;
mod diff;
pub(super) mod document;
pub(super) mod file;
mod filling;
mod json_text;
mod kept;
#[cfg(test)]
mod tests;
mod toml_text;

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::args::Connect;
use super::{Failure, output};
use crate::config::{Config, ConfigError, Inputs};
use crate::security::Token;
use clients::{Client, Transport};
use document::EditError;
use file::ClientFile;
use kept::Place;

/// Whoever else could read the file could use the token in it.
const PRIVATE: u32 = 0o600;

/// Why a client is not connected.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{client} does not speak {asked}; fix: leave `--transport` out, or use one of: {known}")]
    Transport { client: String, asked: String, known: String },
    #[error("the folder of {0} is not known: HOME is not set; fix: set HOME, or name the file with `--file`")]
    NoFolder(String),
    #[error("{path} is not edited", path = .path.display())]
    Edit { path: PathBuf, source: EditError },
    #[error("this program's own path is not known; fix: connect with `--transport http`")]
    NoProgram(#[source] std::io::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Connects or, with `--remove`, disconnects.
pub(super) fn run(inputs: &Inputs, connect: &Connect) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    // Clap takes the names of the table alone.
    let client = clients::all().remove(&connect.client).expect("a name that clap let through");
    let named = connect.file.clone().or_else(|| client.file(std::env::consts::OS, inputs));
    let path = named.ok_or_else(|| Failure::of(ConnectError::NoFolder(client.name.clone())))?;
    let file = ClientFile::read(&path).map_err(Failure::of)?;
    if connect.remove {
        remove(&client, &file, inputs, connect.print)
    } else {
        put(&config, inputs, connect, &client, &file)
    }
}

fn put(
    config: &Config,
    inputs: &Inputs,
    connect: &Connect,
    client: &Client,
    file: &ClientFile,
) -> Result<ExitCode, Failure> {
    let token = Token::of(config)?;
    let transport = connect.transport.unwrap_or(client.transports[0]);
    let filling = filling::of(config, inputs, &token, transport).map_err(Failure::of)?;
    let Some(entry) = client.entry(transport, &filling) else {
        let known = client.transports.iter().map(|known| format!("{known:?}").to_lowercase());
        return Err(Failure::of(ConnectError::Transport {
            client: client.name.clone(),
            asked: format!("{transport:?}").to_lowercase(),
            known: known.collect::<Vec<_>>().join(", "),
        }));
    };
    if transport == Transport::Stdio {
        filling::left_behind(config).iter().for_each(output::note);
    }
    let edit = |source| Failure::of(ConnectError::Edit { path: file.path.clone(), source });
    let before = file.text.as_deref().unwrap_or_default();
    let (there, after) = match edited(client, before, &entry) {
        Err(problem) if connect.print => {
            let problem = problem.to_string();
            let problem = problem.split_once("; fix: ").map_or(problem.as_str(), |(problem, _)| problem);
            let alone = client.syntax.put("", &client.section, &entry).map_err(edit)?;
            output::note(format!(
                "note: {} is not edited: {problem}; fix: add this by hand",
                file.path.display()
            ));
            output::say(alone.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        edited => edited.map_err(edit)?,
    };
    if after == before {
        output::say(format!("{} is connected already, by {}", client.name, file.path.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if connect.print {
        output::say(format!("{} would be:", file.path.display()))?;
        output::say(after.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    // What stood there before the first time is what `--remove` brings back.
    let place = place(inputs, client, file)?;
    if !(there && place.read().map_err(Failure::of)?.is_some()) {
        place.keep(file).map_err(Failure::of)?;
    }
    let private = after.contains(token.reveal()).then_some(PRIVATE);
    let narrowed = private.is_some() && file.mode().is_some_and(|mode| mode & 0o077 != 0);
    file.replace(&after, private).map_err(Failure::of)?;
    show(before, &after, token.reveal())?;
    if narrowed {
        output::say(format!("{} holds the token: only you can read it from here on", file.path.display()))?;
    }
    output::say(format!("{} is connected, by {}; start it anew", client.name, file.path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether our entry was in the text, and the text with it as it should be.
fn edited(client: &Client, before: &str, entry: &Value) -> Result<(bool, String), EditError> {
    let there = client.syntax.get(before, &client.section)?.is_some();
    Ok((there, client.syntax.put(before, &client.section, entry)?))
}

fn remove(client: &Client, file: &ClientFile, inputs: &Inputs, print: bool) -> Result<ExitCode, Failure> {
    let edit = |source| Failure::of(ConnectError::Edit { path: file.path.clone(), source });
    let before = file.text.as_deref().unwrap_or_default();
    let Some(entry) = client.syntax.get(before, &client.section).map_err(edit)? else {
        output::say(format!("{} is not connected: {} has no `exai`", client.name, file.path.display()))?;
        return Ok(ExitCode::SUCCESS);
    };
    let place = place(inputs, client, file)?;
    let kept = place.read().map_err(Failure::of)?;
    let was_none = kept.as_ref().is_some_and(|kept| kept.text.is_none());
    // A file that holds what we would make of none, where there was none, is ours.
    if was_none && client.syntax.put("", &client.section, &entry).map_err(edit)? == before {
        if !print {
            file.remove().map_err(Failure::of)?;
            place.forget().map_err(Failure::of)?;
        }
        output::say(format!("{}: removed, as EXAI had made it", file.path.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (text, mode) = kept.map_or((None, None), |kept| (kept.text, kept.mode));
    let after = client.syntax.take(before, &client.section, text.as_deref()).map_err(edit)?;
    if !print {
        file.replace(&after, mode).map_err(Failure::of)?;
        place.forget().map_err(Failure::of)?;
    }
    show(before, &after, "")?;
    output::say(format!("{} is disconnected, by {}", client.name, file.path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn place(inputs: &Inputs, client: &Client, file: &ClientFile) -> Result<Place, Failure> {
    Place::of(inputs, file).ok_or_else(|| Failure::of(ConnectError::NoFolder(client.name.clone())))
}

fn show(before: &str, after: &str, token: &str) -> Result<(), Failure> {
    for line in diff::lines(before, after, token) {
        output::say(output::harmless(&line))?;
    }
    Ok(())
}
