//! Turns what a tool gave into what MCP sends: the answer and its receipt, or the failure, as one `tools/call` result.

use exai_actors::error::CallError;
use exai_actors::receipt::Receipt;
use exai_actors::tools::ToolAnswer;
use rmcp::model::{CallToolResult, ContentBlock, MetaObject};
use serde::Serialize;

/// Where the receipt stands in a result's `_meta`.
const RECEIPT_KEY: &str = "exai/receipt";
/// Where a failure stands in a result's `_meta`.
const ERROR_KEY: &str = "exai/error";

/// Characters of an unfinished answer that are given: clients cut longer results, or refuse them.
pub(super) const PARTIAL_CHARS_MAX: usize = 60_000;

/// A tool's answer: its text, then the receipt as a line of its own, never inside the answer.
pub(super) fn answered(answer: ToolAnswer) -> CallToolResult {
    let ToolAnswer { text, receipt, structured } = answer;
    let mut content = vec![ContentBlock::text(text)];
    content.extend(receipt.as_ref().map(|receipt| ContentBlock::text(receipt.to_string())));
    let mut result = CallToolResult::success(content);
    result.structured_content = structured;
    result.meta = receipt.as_ref().and_then(|receipt: &Receipt| meta(RECEIPT_KEY, receipt));
    result
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

    use exai_actors::error::ErrorKind;
    use exai_actors::ids::CallId;
    use serde_json::{Value, json};

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
        let wire = wire(&answered(ToolAnswer { text: "fine".into(), receipt: None, structured }));
        assert_eq!(wire["content"], json!([{ "type": "text", "text": "fine" }]));
        assert_eq!(wire["structuredContent"], json!({ "status": "ok" }));
        assert_eq!(wire["isError"], false);
    }
}
