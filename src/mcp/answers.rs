//! Turns what a tool gave into what MCP sends: the answer and its receipt, or the failure, as one `tools/call` result.

use std::fmt::Write;

use exai_actors::error::{CallError, ErrorKind};
use exai_actors::models::pages::pages;
use exai_actors::tools::ToolAnswer;
use rmcp::model::{CallToolResult, ContentBlock, MetaObject};
use serde::Serialize;
use serde_json::json;

/// Where the receipt stands in a result's `_meta`.
const RECEIPT_KEY: &str = "exai/receipt";
/// Where a failure stands in a result's `_meta`.
const ERROR_KEY: &str = "exai/error";

/// Characters of an unfinished answer that are given: clients cut longer results, or refuse them.
pub(super) const PARTIAL_CHARS_MAX: usize = 60_000;

/// Which page of an answer is wanted, and how long one may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    /// From 1.
    pub(super) number: usize,
    /// Tokens that its client takes of a result.
    pub(super) tokens_max: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { number: 1, tokens_max: u32::MAX }
    }
}

/// The part of a client's limit that the answer itself gets: the receipt has its place too, and tokenizers differ.
const PAGE_FIFTHS: u32 = 4;

/// A tool's answer: its text, then the receipt as a line of its own, never inside the answer. A text that is longer than its client
/// takes is given by pages; one without a receipt has no handle to fetch the others by, and is kept short by its tool.
pub(super) fn answered(answer: ToolAnswer, page: Page) -> CallToolResult {
    let ToolAnswer { text, receipt, structured } = answer;
    let Some(receipt) = receipt else {
        let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
        result.structured_content = structured;
        return result;
    };
    let all = pages(&text, page.tokens_max / 5 * PAGE_FIFTHS);
    let (number, of) = (page.number, all.len());
    let Some(shown) = number.checked_sub(1).and_then(|index| all.get(index)) else {
        let message = format!("`result`: this answer has {of} pages, there is no page {number}.");
        return failed(&CallError::new(ErrorKind::InvalidArguments, message).of_call(receipt.call_id));
    };
    let mut line = receipt.to_string();
    let mut facts = serde_json::to_value(&receipt).unwrap_or_default();
    if of > 1 {
        facts["page"] = json!({ "number": number, "of": of });
        // Writing to a String cannot fail.
        let _ = write!(line, " - page {number} of {of}");
        if number < of {
            let (call, next) = (receipt.call_id, number + 1);
            let _ = write!(line, "; the answer goes on: fetch it with `result`, call_id {call}, page {next}");
        }
    }
    let mut result = CallToolResult::success(vec![ContentBlock::text(*shown), ContentBlock::text(line)]);
    result.structured_content = structured;
    result.with_meta(meta(RECEIPT_KEY, &facts))
}

/// A call that failed: what to do, in words; the rest in `_meta`. A tool's failure is a result, not a protocol error (MCP
/// 2025-11-25, server/tools, error handling), so that the model reads it.
pub(super) fn failed(error: &CallError) -> CallToolResult {
    let message = if error.message.is_empty() { error.kind.as_str() } else { error.message.as_str() };
    let shape = CallError { message: String::new(), ..error.clone() };
    CallToolResult::error(vec![ContentBlock::text(message)]).with_meta(meta(ERROR_KEY, &shape))
}

/// A call that failed after some of its answer had come: the failure first, so that nobody takes the beginning for the whole.
pub(super) fn broken(error: &CallError, partial: &str) -> CallToolResult {
    let mut result = failed(error);
    let shown = beginning(partial);
    result.content.push(ContentBlock::text("The answer as far as it had come:"));
    result.content.push(ContentBlock::text(shown));
    result
}

/// As much of a text as a client takes.
pub(super) fn beginning(text: &str) -> &str {
    let end = text.char_indices().nth(PARTIAL_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// A result's `_meta` with one thing in it.
pub(super) fn meta(key: &str, value: &impl Serialize) -> Option<MetaObject> {
    let value = serde_json::to_value(value).ok()?;
    let mut meta = MetaObject::new();
    meta.insert(key.to_owned(), value);
    Some(meta)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use exai_actors::ids::CallId;
    use serde_json::Value;

    use super::*;

    fn wire(result: &CallToolResult) -> Value {
        serde_json::to_value(result).unwrap()
    }

    #[test]
    fn a_failure_is_one_sentence_and_a_shape() {
        let call = CallId::mint();
        let error = CallError::new(ErrorKind::BreakerOpen, "Ask again in five seconds.")
            .retry_after(Duration::from_secs(5))
            .of_call(call)
            .with("provider", "kimi");
        let wire = wire(&failed(&error));
        assert_eq!(wire["isError"], true);
        assert_eq!(wire["content"], json!([{ "type": "text", "text": "Ask again in five seconds." }]));
        let shape = json!({
            "kind": "breaker_open", "retry_after_ms": 5000, "call_id": call, "detail": { "provider": "kimi" },
        });
        assert_eq!(wire["_meta"], json!({ "exai/error": shape }));
    }

    #[test]
    fn an_answer_keeps_its_structure() {
        let structured = Some(json!({ "status": "ok" }));
        let wire =
            wire(&answered(ToolAnswer { text: "fine".into(), receipt: None, structured }, Page::default()));
        assert_eq!(wire["content"], json!([{ "type": "text", "text": "fine" }]));
        assert_eq!(wire["structuredContent"], json!({ "status": "ok" }));
        assert_eq!(wire["isError"], false);
    }
}
