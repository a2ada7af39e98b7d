//! What the doctor finds at the providers: whether each answers, accepts its key, and has our clock. Each key goes to its own
//! provider's host alone.

use std::time::Duration;

use awc::http::header::DATE;
use exai_actors::clock;
use futures_util::future::join_all;
use serde_json::Value;

use super::finding::Finding;
use crate::config::{Config, Provider, Secret};

/// How long a provider may take to list its models.
const WITHIN: Duration = Duration::from_secs(5);
/// The longest list of models, in bytes.
const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How far clocks may be apart: beyond that certificates and journals go wrong.
const APART_S_MAX: u64 = 30;

/// Who cannot be asked at all.
pub(super) fn without(config: &Config) -> Option<Finding> {
    let reasons = config.left_out.iter().map(|out| format!("{}: {}", out.name.as_str(), out.reason));
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    match (config.providers.is_empty(), reasons.is_empty()) {
        (true, _) => {
            let fix = "set MOONSHOT_API_KEY or ZAI_API_KEY, or put api_key into exai.toml, where the daemon and this command find it; \
                       `exai demo` needs none";
            Some(Finding::ill("keys", reasons, fix))
        }
        (false, false) => Some(Finding::well("left out", reasons)),
        (false, true) => None,
    }
}

/// Asks all of them at once.
pub(super) async fn all(providers: &[Provider]) -> Vec<Finding> {
    let asked = join_all(providers.iter().map(ask)).await;
    let clocks = asked.iter().filter_map(|(_, theirs)| *theirs).collect::<Vec<_>>();
    let mut findings = asked.into_iter().map(|(finding, _)| finding).collect::<Vec<_>>();
    // One provider's clock may be off; that all of them are is less likely than that ours is.
    let apart = clocks.iter().copied().min_by_key(|apart| apart.unsigned_abs());
    findings.extend(apart.map(|apart| {
        let detail = format!("{apart} s ahead of the providers' clocks");
        if apart.unsigned_abs() <= APART_S_MAX {
            return Finding::well("clock", detail);
        }
        Finding::ill("clock", detail, "set this machine's clock (NTP: `timedatectl set-ntp true`)")
    }));
    findings
}

/// What one says, and how many seconds our clock is ahead of its.
async fn ask(provider: &Provider) -> (Finding, Option<i64>) {
    let name = format!("provider {}", provider.name.as_str());
    let url = format!("{}/models", provider.base_url.as_str().trim_end_matches('/'));
    let client = awc::Client::builder().timeout(WITHIN).disable_redirects().finish();
    let mut request = client.get(&url);
    if let Some(key) = provider.api_key.as_ref().map(Secret::reveal) {
        request = request.bearer_auth(key);
    }
    let host = provider.base_url.host_str().unwrap_or_default().to_owned();
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            let fix =
                format!("check the network to {host}, or providers.{}.base_url", provider.name.as_str());
            return (Finding::ill(name, format!("{host} is not reached: {error}"), fix), None);
        }
    };
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let apart = theirs.map(|theirs| clock::utc_now().0 / 1000 - theirs.timestamp().as_second());
    let finding = match response.status().as_u16() {
        200 if response.body().limit(LIST_BYTES_MAX).await.is_ok_and(|body| lists_models(&body)) => {
            Finding::well(name, format!("{host} accepts the key"))
        }
        200 => {
            let fix = format!(
                "correct providers.{}.base_url: what comes before /models, which often ends in /v1",
                provider.name.as_str()
            );
            Finding::ill(name, format!("{host} answers, but not with a list of models"), fix)
        }
        401 | 403 => {
            let variable = match provider.name.as_str() {
                "kimi" => {
                    "MOONSHOT_API_KEY (keys of api.moonshot.ai and api.moonshot.cn are not interchangeable)"
                        .to_owned()
                }
                "glm" => "ZAI_API_KEY".to_owned(),
                other => format!("providers.{other}.api_key_env"),
            };
            Finding::ill(name, format!("{host} refuses the key"), format!("set the right key: {variable}"))
        }
        // Not every server lists its models.
        404 | 405 => {
            Finding::well(name, format!("{host} answers; it lists no models, so the key was not tried"))
        }
        status => {
            let fix = format!("ask again later, or look at the status page of {host}");
            Finding::ill(name, format!("{host} answers {status}"), fix)
        }
    };
    (finding, apart)
}

/// Whether the body is what an API says, and not somebody's web page.
fn lists_models(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|body| body["data"].is_array())
}
