//! `exai token`: the token that clients present, and the named ones.

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;

use super::args::{Token as Line, TokenCommand};
use super::{Failure, output};
use crate::config::{Config, Inputs};
use crate::security::{Scope, Token, TokenError, keyring};

/// Prints the token without a name, making it if there is none; or adds, lists or revokes named ones. A running daemon knows at once.
pub(super) fn run(inputs: &Inputs, line: Line) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    match line.command {
        None => output::say(Token::of(&config)?.reveal())?,
        Some(TokenCommand::Add { name, scopes }) => {
            let scopes = if scopes.is_empty() { vec![Scope::Client] } else { scopes };
            let token = keyring::add(file(&config)?, &name, &scopes, Timestamp::now().to_string())?;
            output::say(token.reveal())?;
            output::note("This is the only time that the token is shown; EXAI keeps its digest alone.");
        }
        Some(TokenCommand::List) => {
            for (name, entry) in keyring::read(file(&config)?)? {
                let scopes = entry.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",");
                output::say(output::harmless(&format!("{name:<32} {scopes:<24} {}", entry.made)))?;
            }
        }
        Some(TokenCommand::Revoke { name }) => {
            keyring::revoke(file(&config)?, &name)?;
            output::note(format!(
                "`{name}` opens nothing from now on; a running daemon closes its connections within a second or so"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn file(config: &Config) -> Result<&Path, TokenError> {
    config.tokens_file.as_deref().ok_or(TokenError::NoFolder)
}
