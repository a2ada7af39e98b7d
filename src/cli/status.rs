//! `exai status`: how the running daemon is, for people or as JSON.

use std::process::ExitCode;

use exai_actors::clock::{self, UtcMillis};
use serde_json::{Map, Value, json};

use super::args::Status;
use super::{Failure, block_on, output, target};
use crate::config::{Config, Inputs};
use crate::mcp::client::{Client, ClientError, Reply};
use crate::security::Token;
use crate::tls;

/// Asks `/health` and the tool `status`. Exits 0 when the daemon is up, degraded or not; 1 when it is down.
pub(super) fn run(inputs: &Inputs, status: &Status) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    let token = Token::of(&config)?;
    let (up, health) = block_on(target::get(&config.listen, "/health", Some(&token))).map_err(Failure::of)?;
    let told = block_on(tool(&config, &token));
    if status.json {
        let told = match told {
            Ok(reply) => reply.structured.unwrap_or(Value::String(reply.text)),
            Err(error) => json!({ "error": error.to_string() }),
        };
        output::say(json!({ "health": health, "status": told }).to_string())?;
    } else {
        for line in lines(&health, clock::utc_now()) {
            output::say(line)?;
        }
        match told {
            Ok(reply) => {
                for line in beyond(&reply.text, &health) {
                    output::say(output::harmless(line))?;
                }
            }
            Err(error) => output::note(format!("the tool `status` gave nothing: {error}")),
        }
    }
    Ok(if up { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn tool(config: &Config, token: &Token) -> Result<Reply, ClientError> {
    let url = target::mcp_url(&config.listen).map_err(|_| ClientError::Gone)?;
    let mut client = Client::connect(&url, token, tls::pinned(&config.listen)?).await?;
    let reply = client.call("status", Map::new(), |_| {}, std::future::pending()).await;
    client.close().await;
    reply
}

/// The report of `/health` for people: one line for the whole, one for each part.
fn lines(health: &Value, now: UtcMillis) -> Vec<String> {
    let word = |value: &Value| output::harmless(value.as_str().unwrap_or("?"));
    let uptime = health["uptime_s"].as_u64().unwrap_or(0);
    let head =
        format!("EXAI {}: {}, up {}", word(&health["version"]), word(&health["status"]), lasting(uptime));
    let parts = health["components"].as_object();
    let parts = parts.into_iter().flatten().map(|(name, part)| {
        let since = now.0.saturating_sub(part["since"].as_i64().unwrap_or(now.0));
        let since = lasting(u64::try_from(since / 1000).unwrap_or(0));
        format!("  {name:<20} {:<9} for {since:<8} {}", word(&part["status"]), word(&part["detail"]))
    });
    std::iter::once(head).chain(parts).collect()
}

/// What the tool says beyond the report: not its first line, which names the version, nor those of the parts.
fn beyond<'a>(text: &'a str, health: &Value) -> impl Iterator<Item = &'a str> {
    let parts = health["components"].as_object();
    let parts = parts.into_iter().flatten().map(|(name, _)| format!("{name}: ")).collect::<Vec<_>>();
    text.lines().skip(1).filter(move |line| !parts.iter().any(|part| line.starts_with(part)))
}

fn lasting(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_is_said_twice() {
        let health = json!({ "components": { "storage": {}, "provider:kimi": {} } });
        let text = "EXAI 0.1.0, up 7 s\ncalls: 0 in flight\nprovider:kimi: ok \nstorage: ok sqlite\nprovider glm is not in use: no key";
        let said = beyond(text, &health).collect::<Vec<_>>();
        assert_eq!(said, ["calls: 0 in flight", "provider glm is not in use: no key"]);
    }

    #[test]
    fn a_report_reads_as_a_table() {
        let health = json!({
            "status": "degraded", "version": "0.1.0", "uptime_s": 3720,
            "components": { "storage": { "status": "ok", "detail": "sqlite\u{1b}[2J", "since": 1_000 } },
        });
        let lines = lines(&health, UtcMillis(121_000));
        assert_eq!(
            lines,
            ["EXAI 0.1.0: degraded, up 1 h 2 min", "  storage              ok        for 2 min    sqlite[2J",]
        );
    }
}
