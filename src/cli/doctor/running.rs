//! What the doctor finds at the doors: a running daemon, which it asks one real question, or free ports for one.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::{Map, json};

use super::finding::Finding;
use crate::cli::target::{self, ProbeError};
use crate::config::Config;
use crate::mcp::client::{Client, wake};
use crate::security::Token;
use crate::tls;

/// How long a model may take for one word.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The doors, and what is behind them.
pub(super) async fn all(config: &Config, token: Option<&Token>) -> Vec<Finding> {
    let dashboard = config.listen.dashboard;
    let runs = match target::get(&config.listen, "/health/ready", None).await {
        Ok((true, _)) => Some(Finding::well("daemon", format!("takes calls at {}", config.listen.mcp))),
        Ok((false, report)) if report["reason"].is_string() => {
            let reason = report["reason"].as_str().unwrap_or_default().to_owned();
            Some(Finding::ill("daemon", format!("it takes no calls: {reason}"), "see `exai status`"))
        }
        Err(ProbeError::Silent(address)) => {
            let fix = wake(address.port());
            Some(Finding::ill("daemon", format!("what listens at {address} does not answer"), fix))
        }
        Ok(_)
        | Err(
            ProbeError::NoDaemon(_)
            | ProbeError::Unreachable(..)
            | ProbeError::Strange(_)
            | ProbeError::Refused(_)
            | ProbeError::Tls(_),
        ) => None,
    };
    let Some(daemon) = runs else {
        return [("EXAI_LISTEN__MCP", config.listen.mcp), ("EXAI_LISTEN__DASHBOARD", dashboard)]
            .map(|(variable, address)| port(variable, address))
            .into_iter()
            .chain([Finding::well("question", "not asked: no daemon runs; `exai serve` starts one")])
            .collect();
    };
    let mut findings = vec![daemon];
    if config.providers.is_empty() {
        return findings;
    }
    findings.push(match token {
        Some(token) => question(config, token).await,
        None => Finding::ill("question", "not asked: the token is not known", "see the token above"),
    });
    findings
}

fn port(variable: &str, address: SocketAddr) -> Finding {
    let name = format!("port {}", address.port());
    match TcpListener::bind(address) {
        Ok(_) => Finding::well(name, format!("{address} is free")),
        Err(error) => {
            let (detail, fix) = if error.kind() == ErrorKind::AddrInUse {
                (
                    format!("another program has {address}"),
                    format!("end that program, or set {variable} to another address"),
                )
            } else if error.kind() == ErrorKind::AddrNotAvailable {
                (
                    format!("{} is no address of this machine", address.ip()),
                    format!("set {variable} to one that is, such as 127.0.0.1:{}", address.port()),
                )
            } else {
                (format!("{address}: {error}"), format!("set {variable} to another address"))
            };
            Finding::ill(name, detail, fix)
        }
    }
}

async fn question(config: &Config, token: &Token) -> Finding {
    let ask = async {
        let url = target::mcp_url(&config.listen).map_err(|error| error.to_string())?;
        let tls = tls::pinned(&config.listen).map_err(|error| error.to_string())?;
        let mut client = Client::connect(&url, token, tls).await.map_err(|error| error.to_string())?;
        let arguments: Map<_, _> =
            [("prompt".to_owned(), json!("Answer with the one word: ready"))].into_iter().collect();
        let reply = client.call("chat", arguments, |_| {}, std::future::pending()).await;
        client.close().await;
        reply.map_err(|error| error.to_string())
    };
    match tokio::time::timeout(ANSWER_WITHIN, ask).await {
        Ok(Ok(reply)) => {
            let by = reply.receipt.map_or_else(String::new, |receipt| format!(": {receipt}"));
            Finding::well("question", format!("answered{by}"))
        }
        Ok(Err(error)) => Finding::ill("question", error, "mend what is above; else see `exai status`"),
        Err(_) => Finding::ill("question", "no answer in 60 s", "see `exai status`: is a breaker open?"),
    }
}
