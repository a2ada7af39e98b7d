//! What can be read beside the tools: the models, how every provider stands, and the caller's own conversations. Someone else's
//! conversation looks exactly like one that does not exist.

use exai_actors::error::CallError;
use exai_actors::ids::{ConversationId, Principal};
use exai_actors::storage::browse::{Place, Summary};
use exai_actors::tools::Toolbox;
use rmcp::ErrorData;
use rmcp::model::{
    CacheScope, ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams, ReadResourceResult,
    Resource, ResourceContents, ResourceTemplate,
};
use serde_json::json;

/// How every provider stands.
const BREAKERS: &str = "exai://breakers";
/// Which models there are.
const MODELS: &str = "exai://models";
/// Where conversations stand.
const CONVERSATIONS: &str = "exai://conversations/";
/// The address of a conversation, and of its part before a turn (RFC 6570).
pub(super) const CONVERSATION_TEMPLATE: &str = "exai://conversations/{id}{?before}";
/// The type of what is read there.
const JSON: &str = "application/json";
/// How long a list stays as it is that only a new process changes.
pub(super) const LIST_TTL_MS: u64 = 3_600_000;
/// How long the models stay as they are, at least: their providers are asked every hour.
const MODELS_TTL_MS: u64 = 60_000;
/// How long a reading stays true: a breaker may open, and a conversation go on, at any moment.
const READING_TTL_MS: u64 = 0;
/// How much of an unknown address is given back.
const URI_CHARS_MAX: usize = 64;
/// Conversations on one page of the list.
const PAGE_ITEMS: usize = 50;
/// Characters of a conversation's title in the list.
const TITLE_CHARS_MAX: usize = 120;

/// A page of the list: what every client can read, then the caller's conversations, newest first.
pub(super) async fn list(
    toolbox: &Toolbox,
    principal: &Principal,
    request: Option<PaginatedRequestParams>,
) -> Result<ListResourcesResult, ErrorData> {
    let cursor = request.and_then(|request| request.cursor);
    let after = cursor.map(|cursor| cursor.parse::<Place>().map_err(|_| unknown_cursor())).transpose()?;
    let mut resources = if after.is_none() { of_everyone() } else { Vec::new() };
    let mut found =
        toolbox.conversations(principal, after, PAGE_ITEMS + 1).await.map_err(|error| unread(&error))?;
    let has_more = found.len() > PAGE_ITEMS;
    found.truncate(PAGE_ITEMS);
    resources.extend(found.iter().map(conversation));
    let mut page = ListResourcesResult::with_all_items(resources)
        .with_ttl_ms(READING_TTL_MS)
        .with_cache_scope(CacheScope::Private);
    page.next_cursor = found.last().filter(|_| has_more).map(|last| last.place().to_string());
    Ok(page)
}

/// The addresses that are made of something.
pub(super) fn templates(
    request: Option<PaginatedRequestParams>,
) -> Result<ListResourceTemplatesResult, ErrorData> {
    one_page(request)?;
    let conversation = ResourceTemplate::new(CONVERSATION_TEMPLATE, "conversation")
        .with_title("A conversation")
        .with_description(
            "The newest turns of one of your conversations, by its continuation_id; `before` is the number of a turn and gives those \
             before it.",
        )
        .with_mime_type(JSON);
    Ok(ListResourceTemplatesResult::with_all_items(vec![conversation])
        .with_ttl_ms(LIST_TTL_MS)
        .with_cache_scope(CacheScope::Public))
}

/// Reads one.
pub(super) async fn read(
    toolbox: &Toolbox,
    principal: &Principal,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    let reading = |text: String, ttl_ms, scope| {
        let contents = ResourceContents::text(text, uri).with_mime_type(JSON);
        ReadResourceResult::new(vec![contents]).with_ttl_ms(ttl_ms).with_cache_scope(scope)
    };
    match uri {
        BREAKERS => Ok(reading(toolbox.breakers().await.to_string(), READING_TTL_MS, CacheScope::Private)),
        MODELS => Ok(reading(toolbox.models().to_string(), MODELS_TTL_MS, CacheScope::Public)),
        _ => {
            let (id, before) = address(uri).ok_or_else(|| unknown(uri))?;
            let found = toolbox.conversation(principal, id, before).await.map_err(|error| unread(&error))?;
            let mut shelf = found.ok_or_else(|| unknown(uri))?;
            shelf.facts["older"] = match shelf.older {
                Some(seq) => format!("{CONVERSATIONS}{id}?before={seq}").into(),
                None => serde_json::Value::Null,
            };
            Ok(reading(shelf.facts.to_string(), READING_TTL_MS, CacheScope::Private))
        }
    }
}

/// A list of one page knows no cursor.
pub(super) fn one_page(request: Option<PaginatedRequestParams>) -> Result<(), ErrorData> {
    request.and_then(|request| request.cursor).map_or(Ok(()), |_| Err(unknown_cursor()))
}

/// The database did not answer: a protocol error with the shape of ours.
pub(super) fn unread(error: &CallError) -> ErrorData {
    let shape = CallError { message: String::new(), ..error.clone() };
    ErrorData::internal_error(error.message.clone(), serde_json::to_value(shape).ok())
}

/// The conversation and the turn of an address.
fn address(uri: &str) -> Option<(ConversationId, Option<i32>)> {
    let rest = uri.strip_prefix(CONVERSATIONS)?;
    let (id, before) = match rest.split_once("?before=") {
        None => (rest, None),
        Some((id, before)) => (id, Some(before.parse::<i32>().ok().filter(|before| *before > 0)?)),
    };
    Some((id.parse().ok()?, before))
}

fn of_everyone() -> Vec<Resource> {
    let breakers = Resource::new(BREAKERS, "breakers")
        .with_title("Circuit breakers")
        .with_description(
            "How every provider stands: whether calls go through to it, and how many are running.",
        )
        .with_mime_type(JSON);
    let models = Resource::new(MODELS, "models")
        .with_title("Models")
        .with_description("The models that can be asked, with their limits and prices.")
        .with_mime_type(JSON);
    vec![breakers, models]
}

fn conversation(summary: &Summary) -> Resource {
    let title = summary.title.chars().take(TITLE_CHARS_MAX).collect::<String>();
    let address = format!("{CONVERSATIONS}{}", summary.id);
    let words = format!("{} turns, begun with `{}`", summary.turn_count, summary.tool);
    Resource::new(address, summary.id.to_string())
        .with_title(title)
        .with_description(words)
        .with_mime_type(JSON)
}

fn unknown(uri: &str) -> ErrorData {
    let uri = uri.chars().take(URI_CHARS_MAX).collect::<String>();
    // The engine gives this the code of the request's own era.
    ErrorData::resource_not_found("There is no such resource.", Some(json!({ "uri": uri })))
}

fn unknown_cursor() -> ErrorData {
    ErrorData::invalid_params("The cursor is none of this server's; begin the list anew.", None)
}
