//! `exai ask`: one question to a model through the running daemon. The answer alone goes to standard output.

use std::io::{IsTerminal, Read};
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

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);
/// The longest question from standard input, in bytes: what one message may have.
const PROMPT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Asks, shows how far it is, prints the answer. Exits 0 when answered, 1 when not, 130 when cancelled by Ctrl-C.
pub(super) fn run(inputs: &Inputs, ask: Ask) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    let token = Token::of(&config).map_err(Failure::of)?;
    let url = ask.url.clone().map_or_else(|| target::mcp_url(config.listen.mcp), Ok).map_err(Failure::of)?;
    let arguments = arguments(ask).map_err(Failure::of)?;
    match block_on(consult(&url, &token, arguments)) {
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

fn arguments(ask: Ask) -> std::io::Result<Map<String, Value>> {
    let mut prompt = ask.prompt;
    if prompt == "-" {
        prompt.clear();
        std::io::stdin().lock().take(PROMPT_BYTES_MAX).read_to_string(&mut prompt)?;
    }
    let given = [("prompt", Some(prompt)), ("model", ask.model), ("continuation_id", ask.continuation)];
    Ok(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect())
}

async fn consult(url: &Url, token: &Token, arguments: Map<String, Value>) -> Result<Reply, ClientError> {
    let mut client = Client::connect(url, token).await?;
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
