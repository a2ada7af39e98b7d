//! What a provider says that it serves: `GET /models`, at the start and every hour. A failure keeps what was known; nobody waits for
//! it. Everything in it is bounded, as a stranger wrote it.

use std::collections::BTreeMap;
use std::time::Duration;

use awc::ClientResponse;
use awc::error::PayloadError;
use awc::http::StatusCode;
use serde::Deserialize;
use tokio::sync::watch;

use super::actor::Line;
use super::endpoint::Resource;
use crate::ids::ProviderName;

/// How often a provider is asked.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// How soon it is asked again after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(5 * 60);
/// How long one list may take.
const WITHIN: Duration = Duration::from_secs(20);
/// The largest list that is read, in bytes: that of a broker of several hundred models is well below 1 MiB.
const BYTES_MAX: usize = 4 << 20;
/// Models that are taken from one list.
const MODELS_MAX: usize = 1_000;
/// The longest id that is taken, in bytes; ids go into metric labels.
const ID_BYTES_MAX: usize = 128;

/// What each provider last said that it serves.
pub type Listings = BTreeMap<ProviderName, Vec<ListedModel>>;

/// A model of which its provider says that it serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedModel {
    /// The provider's own spelling.
    pub id: String,
    /// The context window in tokens, where the list says it (`context_length` of Kimi and brokers, `max_model_len` of vLLM).
    pub context_tokens: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
enum ListingError {
    #[error("no answer came: {0}")]
    Send(String),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer could not be read: {0}")]
    Body(PayloadError),
    #[error("its answer is not a list of models")]
    Shape,
    #[error("it took longer than {} s", WITHIN.as_secs())]
    Slow,
}

/// Asks for ever, as long as anybody listens. The log hears of the first failure in a row.
pub(super) async fn keep(line: Line, told: watch::Sender<Listings>) {
    let provider = line.endpoint.provider().clone();
    let mut failing = false;
    while !told.is_closed() {
        let asked = tokio::time::timeout(WITHIN, ask(&line)).await;
        match asked.unwrap_or(Err(ListingError::Slow)) {
            Ok(models) => {
                failing = false;
                told.send_if_modified(|all| {
                    let is_news = all.get(&provider) != Some(&models);
                    if is_news {
                        all.insert(provider.clone(), models);
                    }
                    is_news
                });
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    log::warn!(provider = provider.as_str(); "the list of models stays as it was: {error}");
                }
            }
        }
        tokio::time::sleep(if failing { AFTER_FAILURE } else { EVERY }).await;
    }
}

async fn ask(line: &Line) -> Result<Vec<ListedModel>, ListingError> {
    // A connection of its own: the pool is for calls.
    let request = line.endpoint.get(line.pool.take().client(), Resource::Models).force_close();
    let mut response = request.send().await.map_err(|error| ListingError::Send(error.to_string()))?;
    if response.status() != StatusCode::OK {
        return Err(ListingError::Status(response.status()));
    }
    read(&mut response).await
}

async fn read<S>(response: &mut ClientResponse<S>) -> Result<Vec<ListedModel>, ListingError>
where
    S: futures_util::Stream<Item = Result<bytes::Bytes, PayloadError>>,
{
    let body = response.body().limit(BYTES_MAX).await.map_err(ListingError::Body)?;
    parse(&body).ok_or(ListingError::Shape)
}

/// What is of use in a list: ids that can be asked for.
fn parse(body: &[u8]) -> Option<Vec<ListedModel>> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        context_length: Option<u32>,
        max_model_len: Option<u32>,
    }
    let list = serde_json::from_slice::<List>(body).ok()?;
    let fits =
        |id: &str| (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let models = list.data.into_iter().filter(|entry| fits(&entry.id)).take(MODELS_MAX);
    let context = |entry: &Entry| entry.context_length.or(entry.max_model_len).filter(|tokens| *tokens > 0);
    Some(models.map(|entry| ListedModel { context_tokens: context(&entry), id: entry.id }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_for_what_it_is_worth() {
        let long = "x".repeat(ID_BYTES_MAX + 1);
        let body = serde_json::json!({ "object": "list", "data": [
            { "id": "a", "context_length": 1000, "owned_by": "x" },
            { "id": "b/c:free", "max_model_len": 2000 },
            { "id": "plain" }, { "id": "a\nlog line" }, { "id": "" }, { "id": long }, { "id": "zero", "context_length": 0 },
        ]});
        let models = parse(body.to_string().as_bytes()).unwrap();
        let seen = models.iter().map(|model| (model.id.as_str(), model.context_tokens)).collect::<Vec<_>>();
        assert_eq!(seen, [("a", Some(1000)), ("b/c:free", Some(2000)), ("plain", None), ("zero", None)]);
        let many = (0..2_000).map(|n| serde_json::json!({ "id": n.to_string() })).collect::<Vec<_>>();
        let many = serde_json::json!({ "data": many }).to_string();
        assert_eq!(parse(many.as_bytes()).unwrap().len(), MODELS_MAX);
        for no_list in ["", "[]", "<html>", r#"{"data": [{"name": "no id"}]}"#, r#"{"error": {}}"#] {
            assert_eq!(parse(no_list.as_bytes()), None, "{no_list}");
        }
    }
}
