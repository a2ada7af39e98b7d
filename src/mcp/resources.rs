//! What can be read beside the tools: `exai://breakers`, how every provider stands.

use exai_actors::tools::Toolbox;
use rmcp::ErrorData;
use rmcp::model::{CacheScope, ListResourcesResult, ReadResourceResult, Resource, ResourceContents};

/// How every provider stands.
const BREAKERS: &str = "exai://breakers";
/// The type of what is read there.
const JSON: &str = "application/json";
/// How long the list stays as it is, at least: as long as the process lives.
const LIST_TTL_MS: u64 = 3_600_000;
/// How long a reading stays true: a breaker may open at any moment.
const READING_TTL_MS: u64 = 0;
/// How much of an unknown address is given back.
const URI_CHARS_MAX: usize = 64;

/// All of them.
pub(super) fn list() -> ListResourcesResult {
    let breakers = Resource::new(BREAKERS, "breakers")
        .with_title("Circuit breakers")
        .with_description(
            "How every provider stands: whether calls go through to it, and how many are running.",
        )
        .with_mime_type(JSON);
    // Every client is told the same.
    ListResourcesResult::with_all_items(vec![breakers])
        .with_ttl_ms(LIST_TTL_MS)
        .with_cache_scope(CacheScope::Public)
}

/// Reads one.
pub(super) async fn read(toolbox: &Toolbox, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    if uri != BREAKERS {
        let uri = uri.chars().take(URI_CHARS_MAX).collect::<String>();
        let data = serde_json::json!({ "uri": uri });
        // The engine gives this the code of the request's own era.
        return Err(ErrorData::resource_not_found("There is no such resource.", Some(data)));
    }
    let text = toolbox.breakers().await.to_string();
    let contents = ResourceContents::text(text, BREAKERS).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![contents])
        .with_ttl_ms(READING_TTL_MS)
        .with_cache_scope(CacheScope::Private))
}
