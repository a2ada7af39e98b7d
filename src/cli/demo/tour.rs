//! The tour of `exai demo`: an MCP client that says what it does, step by step. It knows the daemon by its addresses alone.

use std::io;
use std::net::SocketAddr;

use serde_json::Map;

use super::super::output::{Unsaid, answer, say};
use super::super::target;
use crate::config::Listen;
use crate::config::Provider;
use crate::mcp::client::{Client, ClientError};
use crate::security::Token;

/// What is asked.
const QUESTION: &str = "In one sentence: why do two models see more than one?";
/// How much of an answer is shown, in characters.
const ANSWER_SHOWN_MAX: usize = 400;

/// Where to go, and whom to ask.
pub(super) struct Tour {
    pub(super) mcp: SocketAddr,
    pub(super) dashboard: SocketAddr,
    pub(super) token: Token,
    pub(super) providers: Vec<Provider>,
}

/// Why the tour ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum TourError {
    /// The daemon did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// SIGINT or SIGTERM came first.
    #[error("told to end")]
    Ended,
    /// Signals cannot be listened for.
    #[error("cannot listen for SIGTERM and SIGINT")]
    Signals(#[source] io::Error),
    /// Nobody could be told.
    #[error(transparent)]
    Unsaid(#[from] Unsaid),
}

/// The model to ask of a provider: one of the catalogue's that the double knows.
fn model_of(provider: &str) -> &'static str {
    if provider == "kimi" { "kimi-k2.6" } else { "glm-5.2" }
}

impl Tour {
    /// Connects, lists the tools and asks each provider.
    pub(super) async fn give(&self) -> Result<(), TourError> {
        let url =
            target::mcp_url(&Listen { mcp: self.mcp, ..Listen::default() }).map_err(|_| ClientError::Gone)?;
        say("EXAI demo: no key, nothing leaves this machine. Kimi and GLM are doubles in this process.\n")?;
        say(format!("  clients    {url}"))?;
        say(format!("  health     http://{}/health", target::reach(self.dashboard)))?;
        for provider in &self.providers {
            say(format!("  {:<9}  {} (double)", provider.name.as_str(), provider.base_url))?;
        }
        let mut client = Client::connect(&url, &self.token, None).await?;
        say(format!("\n1. initialize over WebSocket\n   {}", client.server()))?;
        let tools = client.tools().await?;
        say(format!("2. tools/list\n   {} tools: {}", tools.len(), tools.join(", ")))?;
        for (step, provider) in (3..).zip(&self.providers) {
            let model = model_of(provider.name.as_str());
            say(format!("{step}. tools/call chat, model {model}\n   > {QUESTION}"))?;
            let arguments =
                Map::from_iter([("prompt".to_owned(), QUESTION.into()), ("model".to_owned(), model.into())]);
            // Progress that cannot be shown is no reason to stop; what is said next fails the same way.
            let progress = |message: &str| drop(say(format!("   .. {message}")));
            let reply = client.call("chat", arguments, progress, std::future::pending()).await?;
            answer(&format!("   {}", shortened(&reply.text)))?;
            let receipt = reply.receipt.map_or_else(|| "none".to_owned(), |receipt| receipt.to_string());
            say(format!("   receipt: {receipt}"))?;
        }
        client.close().await;
        Ok(())
    }

    /// Says how to go on by oneself.
    pub(super) fn invite(&self) -> Result<(), TourError> {
        let token = self.token.reveal();
        let dashboard = target::reach(self.dashboard);
        let mcp = target::reach(self.mcp);
        say("\nNow serving; Ctrl-C ends it. Connect with:")?;
        say(format!("  ws://exai:{token}@{mcp}/mcp"))?;
        say(format!("  EXAI_TOKEN={token} exai ask --url ws://{mcp}/mcp \"What do you think?\""))?;
        say(format!("  curl -H 'Authorization: Bearer {token}' http://{dashboard}/health"))?;
        Ok(())
    }
}

fn shortened(text: &str) -> String {
    let mut shown = text.chars().take(ANSWER_SHOWN_MAX).collect::<String>();
    if shown.len() < text.len() {
        shown.push_str(" ..");
    }
    shown.replace('\n', "\n   ")
}
