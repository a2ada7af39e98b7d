//! What a client gets whose patience ends before its call does: the text so far, and how to fetch the rest. Pure.

use exai_actors::clock::Instant;
use exai_actors::dispatcher::messages::Progress;
use exai_actors::ids::CallId;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::json;

use super::answers::{PARTIAL_CHARS_MAX, beginning, meta};

/// Where a hand-over stands in a result's `_meta`.
const HANDOVER_KEY: &str = "exai/handover";

/// The answer to a client that has waited as long as it can: a success, because nothing has failed and the call goes on.
pub(super) fn handed_over(
    call: CallId,
    progress: &Progress,
    partial: Option<&str>,
    now: Instant,
) -> CallToolResult {
    let Progress { phase, since, tokens } = *progress;
    let (phase, seconds) = (phase.as_str(), now.duration_since(since).as_secs());
    let partial = partial.filter(|partial| !partial.is_empty());
    let shown = partial.map(beginning);
    let so_far = shown.unwrap_or("Nothing of the answer has arrived yet.");
    let cut = shown.map(str::len) < partial.map(str::len);
    let part = match (shown, cut) {
        (None, _) => String::new(),
        (Some(_), false) => " Above is the answer so far.".to_owned(),
        (Some(_), true) => format!(" Above is the beginning, {PARTIAL_CHARS_MAX} characters of more."),
    };
    let line = format!(
        "Still running after {seconds} s ({phase}, {tokens} tokens so far).{part} \
         Fetch the whole answer with `result` and call_id {call}."
    );
    let facts = json!({
        "call_id": call, "phase": phase, "seconds": seconds, "tokens": tokens,
        "partial_chars": shown.map_or(0, |shown| shown.chars().count()),
    });
    let content = vec![ContentBlock::text(so_far), ContentBlock::text(line)];
    CallToolResult::success(content).with_meta(meta(HANDOVER_KEY, &facts))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use exai_actors::clock;
    use exai_actors::dispatcher::messages::Phase;
    use serde_json::Value;

    use super::*;

    fn hand_over(partial: Option<&str>) -> (CallId, Value) {
        let (call, since) = (CallId::mint(), clock::now());
        let progress = Progress { phase: Phase::Answering, since, tokens: 340 };
        let now = since + Duration::from_millis(55_900);
        (call, serde_json::to_value(handed_over(call, &progress, partial, now)).unwrap())
    }

    #[test]
    fn the_text_so_far_is_a_success_that_says_how_to_go_on() {
        let (call, result) = hand_over(Some("It is caused by"));
        assert_eq!(
            (&result["isError"], &result["content"][0]["text"]),
            (&json!(false), &json!("It is caused by"))
        );
        let line = result["content"][1]["text"].as_str().unwrap();
        for words in ["55 s", "answering", "340 tokens", "`result`", &call.to_string()] {
            assert!(line.contains(words), "{line}");
        }
        let facts = json!({ "call_id": call, "phase": "answering", "seconds": 55, "tokens": 340, "partial_chars": 15 });
        assert_eq!(result["_meta"], json!({ "exai/handover": facts }));
        assert!(result.get("structuredContent").is_none());
    }

    #[test]
    fn nothing_yet_is_said_in_words() {
        for nothing in [None, Some("")] {
            let (_, result) = hand_over(nothing);
            assert_eq!(result["content"][0]["text"], "Nothing of the answer has arrived yet.");
            assert_eq!(result["_meta"]["exai/handover"]["partial_chars"], 0);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let (_, result) = hand_over(Some(&"\u{e9}".repeat(PARTIAL_CHARS_MAX + 1)));
        assert_eq!(result["content"][0]["text"].as_str().unwrap().chars().count(), PARTIAL_CHARS_MAX);
        assert_eq!(result["_meta"]["exai/handover"]["partial_chars"], PARTIAL_CHARS_MAX);
        assert!(result["content"][1]["text"].as_str().unwrap().contains("60000 characters of more"));
        let (_, whole) = hand_over(Some(&"e".repeat(PARTIAL_CHARS_MAX)));
        assert!(!whole["content"][1]["text"].as_str().unwrap().contains("of more"));
    }
}
