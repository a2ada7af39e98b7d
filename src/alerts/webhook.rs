//! Sends notices to the operator's webhook, one after the other, each in bounded time and with few retries. Its address may carry a
//! secret and is never shown.

use std::time::Duration;

use awc::http::Version;
use awc::http::header::USER_AGENT;
use serde_json::json;
use tokio::sync::mpsc;

use super::rules::Notice;
use crate::config::Secret;

/// How long one try may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The waits between tries; one try more than waits.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// Who we say we are.
const AGENT: &str = concat!("exai/", env!("CARGO_PKG_VERSION"));

/// Sends what comes, until nobody can tell anything any more.
pub(super) async fn send_all(url: Secret, replica: String, mut notices: mpsc::Receiver<Notice>) {
    // A redirect could lead away from where the operator wants notices to go.
    let client = awc::Client::builder()
        .max_http_version(Version::HTTP_11)
        .timeout(WITHIN)
        .disable_redirects()
        .add_default_header((USER_AGENT, AGENT))
        .finish();
    while let Some(notice) = notices.recv().await {
        let body = json!({
            "alert": notice.alert, "subject": notice.subject, "state": if notice.is_over { "resolved" } else { "firing" },
            "detail": notice.detail, "since": notice.since, "at": notice.at, "replica": replica,
            "version": env!("CARGO_PKG_VERSION"),
        });
        let mut waits = WAITS.into_iter();
        while let Err(why) = post(&client, &url, &body).await {
            let Some(wait) = waits.next() else {
                log::error!(alert = notice.alert; "the webhook did not take a notice: {why}");
                break;
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// What went wrong, without the address: the errors of the client may name it.
async fn post(client: &awc::Client, url: &Secret, body: &serde_json::Value) -> Result<(), String> {
    // The client's own timeout begins with the connection.
    let sent = tokio::time::timeout(WITHIN, client.post(url.reveal()).send_json(body)).await;
    match sent {
        Ok(Ok(response)) if response.status().is_success() => Ok(()),
        Ok(Ok(response)) => Err(format!("it answered {}", response.status().as_u16())),
        Ok(Err(_)) => Err("it cannot be reached".to_owned()),
        Err(_) => Err(format!("it took longer than {} s", WITHIN.as_secs())),
    }
}
