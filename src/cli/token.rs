//! `exai token`: the token that clients present.

use std::process::ExitCode;

use super::{Failure, output};
use crate::config::{Config, Inputs};
use crate::security::Token;

/// Prints it, making it if there is none.
pub(super) fn run(inputs: &Inputs) -> Result<ExitCode, Failure> {
    let token = Token::of(&Config::load(inputs)?)?;
    output::say(token.reveal())?;
    Ok(ExitCode::SUCCESS)
}
