//! Why a configuration is refused: the place, the key, the problem and the fix. Never a value that could be a secret.

use crate::config::sources::Source;

/// A configuration that EXAI refuses to start with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file that was named cannot be read.
    #[error("{path}: cannot be read: {problem}; fix: {fix}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// The file is not TOML.
    #[error(
        "{path} line {line} column {column}: {problem}; fix: correct the TOML there (strings need quotes)"
    )]
    Syntax {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser said.
        problem: String,
    },
    /// A key that does not exist, or a value that cannot be used.
    #[error("{origin}: `{key}`: {problem}; fix: {fix}")]
    Refused {
        /// Who set it.
        origin: Source,
        /// The dotted name of the key.
        key: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
}

impl ConfigError {
    /// A refusal of `key`.
    pub(crate) fn refused(
        origin: Source,
        key: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::Refused { origin, key: key.into(), problem: problem.into(), fix: fix.into() }
    }
}

/// A deserialiser's complaint, reworded for an operator: a problem and a fix. The offending value is dropped, as it may be a secret
/// that was written to the wrong key.
pub(super) fn reword(message: &str) -> (String, String) {
    let message = message.lines().next().unwrap_or_default();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let known = rest.split_once(", expected ").map_or("another key", |(_, known)| known);
        return (
            "unknown key".to_owned(),
            format!("remove it, or use {}", known.trim_start_matches("one of ")),
        );
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let known = rest.split_once(", expected ").map_or("another value", |(_, known)| known);
        return ("unknown value".to_owned(), format!("use {}", known.trim_start_matches("one of ")));
    }
    if message.starts_with("invalid type") || message.starts_with("invalid value") {
        let wanted = message.rsplit_once("expected ").map_or("another value", |(_, wanted)| wanted);
        let wanted = match wanted {
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
            "a string" => "a text in quotes",
            "a sequence" => "a list such as [\"a\", \"b\"]",
            other => other,
        };
        return ("a value of the wrong kind".to_owned(), format!("give {wanted}"));
    }
    (message.to_owned(), "correct the value".to_owned())
}
