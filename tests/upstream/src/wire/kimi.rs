//! Moonshot's JSON, after live captures of August 2026 (table A3).

use super::{Event, billed, call_delta, call_whole, quote, reasoning};
use crate::answer::Answer;
use crate::script::UsagePlace;

/// Cached fields are absent without a hit, and there twice with one.
fn usage(answer: &Answer) -> String {
    let usage = answer.usage;
    let mut out = format!(
        r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}"#,
        usage.prompt,
        usage.completion,
        usage.prompt + usage.completion
    );
    if usage.cached > 0 {
        out += &format!(r#","cached_tokens":{}"#, usage.cached);
    }
    if usage.reasoning > 0 {
        out += &format!(r#","completion_tokens_details":{{"reasoning_tokens":{}}}"#, usage.reasoning);
    }
    if usage.cached > 0 {
        out += &format!(r#","prompt_tokens_details":{{"cached_tokens":{}}}"#, usage.cached);
    }
    out + "}"
}

fn head(answer: &Answer, object: &str) -> String {
    let object = if answer.bare { String::new() } else { format!(r#""object":"{object}","#) };
    format!(r#"{{"id":"{}",{object}"created":{},"model":{}"#, answer.id, answer.created, quote(&answer.model))
}

pub(super) fn chunk(answer: &Answer, event: &Event) -> Option<String> {
    let plain = |delta: String| (delta, "null".to_owned(), String::new());
    let (delta, finish, extra) = match event {
        Event::Role => plain(r#"{"role":"assistant","content":""}"#.to_owned()),
        Event::Think(text) => plain(format!(r#"{{"{}":{}}}"#, answer.reasoning_field, quote(text))),
        Event::ThinkEnd => plain(format!(r#"{{"{}":""}}"#, answer.reasoning_field)),
        Event::Text(text) => plain(format!(r#"{{"content":{}}}"#, quote(text))),
        Event::Call(i) => {
            let call = answer.call.as_ref()?;
            plain(format!(r#"{{"tool_calls":{}}}"#, call_delta(answer, call, *i)))
        }
        Event::Finish => {
            let inside = matches!(answer.place, UsagePlace::Choice | UsagePlace::Both);
            let extra = if inside { format!(r#","usage":{}"#, usage(answer)) } else { String::new() };
            ("{}".to_owned(), quote(&answer.finish), extra)
        }
        Event::Usage => {
            let outside = matches!(answer.place, UsagePlace::Top | UsagePlace::Both);
            let head = head(answer, "chat.completion.chunk");
            return outside.then(|| format!(r#"{head},"choices":[],"usage":{}}}"#, usage(answer)));
        }
    };
    let head = head(answer, "chat.completion.chunk");
    Some(format!(r#"{head},"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}{extra}}}]}}"#))
}

pub(super) fn completion(answer: &Answer) -> String {
    let calls = answer.call.as_ref().map(|call| format!(r#","tool_calls":{}"#, call_whole(answer, call)));
    let usage = billed(answer, &usage(answer));
    format!(
        r#"{},"choices":[{{"index":0,"message":{{"role":"assistant","content":{},"{}":{}{}}},"finish_reason":{}}}]{usage}}}"#,
        head(answer, "chat.completion"),
        quote(&answer.text.whole()),
        answer.reasoning_field,
        reasoning(answer),
        calls.unwrap_or_default(),
        quote(&answer.finish),
    )
}
