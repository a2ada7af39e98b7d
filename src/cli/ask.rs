//! `exai ask`: one question to a model through the running daemon. The answer alone goes to standard output.

use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use url::Url;

use super::args::Ask;
use super::{Failure, INTERRUPTED, block_on, output, target};
use crate::config::{Config, Inputs};
use crate::mcp::client::{Client, ClientError, Reply};
use crate::security::Token;
use crate::tls::{self, Trust};

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);
/// What a message has beside its arguments, in bytes at most: the JSON-RPC envelope, the tool's name and the progress token.
const ENVELOPE_BYTES_MAX: usize = 512;
/// How far a prompt that is too large is counted, in bytes: standard input may have no end.
const COUNTED_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Why there is nothing to ask.
#[derive(Debug, thiserror::Error)]
enum PromptError {
    #[error("standard input cannot be read")]
    Read(#[from] io::Error),
    #[error("the prompt on standard input is not UTF-8 text")]
    NotText,
    #[error(
        "the prompt has {size}; limits.message_bytes allows {allowed} for the whole message; ask less, or raise it \
         (EXAI_LIMITS__MESSAGE_BYTES) for the daemon and for this command"
    )]
    TooLarge { size: String, allowed: usize },
}

/// Asks, shows how far it is, prints the answer. Exits 0 when answered, 1 when not, 130 when cancelled by Ctrl-C.
pub(super) fn run(inputs: &Inputs, ask: Ask) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    let token = Token::of(&config)?;
    let url = ask.url.clone().map_or_else(|| target::mcp_url(&config.listen), Ok).map_err(Failure::of)?;
    // Another server is known by its authority, as usual.
    let tls = if ask.url.is_some() { None } else { tls::pinned(&config.listen).map_err(Failure::of)? };
    let arguments = arguments(ask, config.limits.message_bytes).map_err(Failure::of)?;
    match block_on(consult(&url, &token, tls, arguments)) {
        Ok(reply) => {
            let said = output::answer(&reply.text);
            if let Some(receipt) = reply.receipt {
                output::note(receipt.to_string());
            }
            // The receipt says how to ask again, which matters most where the answer is lost.
            said?;
            Ok(ExitCode::SUCCESS)
        }
        Err(ClientError::Cancelled) => {
            output::note("cancelled");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(error) => Err(Failure::of(error)),
    }
}

/// The arguments of the call, which fit into a message of `allowed` bytes.
fn arguments(ask: Ask, allowed: usize) -> Result<Map<String, Value>, PromptError> {
    let prompt = if ask.prompt == "-" { read(io::stdin().lock(), allowed)? } else { ask.prompt };
    let prompt_bytes = prompt.len();
    let given = [("prompt", Some(prompt)), ("model", ask.model), ("continuation_id", ask.continuation)];
    let arguments: Map<String, Value> =
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
    // As the message has it: a line break takes two bytes there, a control character six.
    let sent_bytes =
        serde_json::to_vec(&arguments).map_or(usize::MAX, |json| json.len() + ENVELOPE_BYTES_MAX);
    if sent_bytes > allowed {
        let size = format!("{prompt_bytes} bytes ({sent_bytes} with the call around it)");
        return Err(PromptError::TooLarge { size, allowed });
    }
    Ok(arguments)
}

/// Reads a prompt to its end, or refuses it: what does not fit is never cut off.
fn read(mut from: impl Read, allowed: usize) -> Result<String, PromptError> {
    let most = u64::try_from(allowed).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    from.by_ref().take(most).read_to_end(&mut bytes)?;
    let beyond = io::copy(&mut from.take(COUNTED_BYTES_MAX), &mut io::sink())?;
    if beyond > 0 {
        let at_least = if beyond == COUNTED_BYTES_MAX { "at least " } else { "" };
        let size = format!("{at_least}{} bytes", most.saturating_add(beyond));
        return Err(PromptError::TooLarge { size, allowed });
    }
    String::from_utf8(bytes).map_err(|_| PromptError::NotText)
}

async fn consult(
    url: &Url,
    token: &Token,
    tls: Option<Trust>,
    arguments: Map<String, Value>,
) -> Result<Reply, ClientError> {
    let mut client = Client::connect(url, token, tls).await?;
    let spinner = spinner();
    let show = |message: &str| spinner.set_message(output::harmless(message));
    let reply = client.call("chat", arguments, show, interrupted()).await;
    spinner.finish_and_clear();
    client.close().await;
    reply
}

/// Something that turns on a terminal's standard error; nothing anywhere else.
fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message("asking");
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(TICK);
    spinner
}

/// Ctrl-C. Where signals cannot be had it never comes, and the system's own handling ends the process.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(prompt: &str) -> Ask {
        Ask { prompt: prompt.to_owned(), model: None, continuation: None, url: None }
    }

    #[test]
    fn a_prompt_arrives_whole_or_not_at_all() {
        assert_eq!(read(&b"four"[..], 4).unwrap(), "four");
        let error = read(&b"fives"[..], 4).unwrap_err().to_string();
        assert!(error.starts_with("the prompt has 5 bytes; limits.message_bytes allows 4"), "{error}");
        let error = read(io::repeat(b'x'), 4).unwrap_err().to_string();
        assert!(error.starts_with("the prompt has at least 1073741828 bytes"), "{error}");
        assert!(matches!(read(&b"\xff"[..], 4), Err(PromptError::NotText)));
    }

    #[test]
    fn the_size_is_that_of_the_message() {
        assert!(arguments(ask(&"x".repeat(400)), 1024).is_ok());
        let error = arguments(ask(&"\n".repeat(500)), 1024).unwrap_err().to_string();
        assert!(error.starts_with("the prompt has 500 bytes (15"), "{error}");
    }
}
