//! The terminal: what commands say, and how. A reader that went away has what it wanted and is no error, so that `exai .. | head`
//! ends with the command's own exit code; an answer that is lost in any other way is one.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

/// What was asked for could not be handed over: the disk is full, or the device is broken.
#[derive(Debug, thiserror::Error)]
#[error("writing to standard output")]
pub(super) struct Unsaid(#[source] io::Error);

/// One line for whoever asked, on standard output.
pub(super) fn say(line: impl AsRef<str>) -> Result<(), Unsaid> {
    write_line(&mut io::stdout().lock(), line.as_ref())
}

fn write_line(out: &mut impl Write, line: &str) -> Result<(), Unsaid> {
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Unsaid(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A model's answer, on standard output: as it is into a file or a pipe, without what steers a terminal on one.
pub(super) fn answer(text: &str) -> Result<(), Unsaid> {
    if io::stdout().is_terminal() { say(harmless(text)) } else { say(text) }
}

/// The text without control characters, except line breaks and tabs: what a model or a server says must not steer a terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().filter(|character| !character.is_control() || matches!(character, '\n' | '\t')).collect()
}

/// One line beside the answer, on standard error. Where that is lost there is nobody left to tell.
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
