//! The terminal: what commands say, and how. A reader that went away is not an error.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

/// One line for whoever asked, on standard output.
pub(super) fn say(line: impl AsRef<str>) {
    let _ = writeln!(io::stdout().lock(), "{}", line.as_ref());
}

/// A model's answer, on standard output: as it is into a file or a pipe, without what steers a terminal on one.
pub(super) fn answer(text: &str) {
    if io::stdout().is_terminal() { say(harmless(text)) } else { say(text) }
}

/// The text without control characters, except line breaks and tabs: what a model or a server says must not steer a terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().filter(|character| !character.is_control() || matches!(character, '\n' | '\t')).collect()
}

/// One line beside the answer, on standard error.
pub(super) fn note(line: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", line.as_ref());
}

/// Why a command failed, on standard error: what went wrong, then each cause.
pub(super) fn error(error: &dyn Error) {
    note(format!("error: {error}"));
    let mut cause = error.source();
    while let Some(inner) = cause {
        note(format!("  because: {inner}"));
        cause = inner.source();
    }
}
