//! OpenAI's JSON, with a reasoning field for the many compatible servers that have one (table C).

use super::{Event, billed, call_delta, call_whole, quote, reasoning};
use crate::answer::Answer;
use crate::script::UsagePlace;

fn usage(answer: &Answer) -> String {
    let usage = answer.usage;
    format!(
        r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{},"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#,
        usage.prompt,
        usage.completion,
        usage.prompt + usage.completion,
        usage.cached,
        usage.reasoning
    )
}

fn head(answer: &Answer, object: &str) -> String {
    let object = if answer.bare { String::new() } else { format!(r#""object":"{object}","#) };
    format!(
        r#"{{"id":"{}",{object}"created":{},"model":{},"system_fingerprint":"fp_double""#,
        answer.id,
        answer.created,
        quote(&answer.model)
    )
}

pub(super) fn chunk(answer: &Answer, event: &Event) -> Option<String> {
    let head = head(answer, "chat.completion.chunk");
    let null = if answer.null_usage { r#","usage":null"# } else { "" };
    let (delta, finish) = match event {
        Event::Role => (r#"{"role":"assistant","content":"","refusal":null}"#.to_owned(), "null".to_owned()),
        Event::Think(text) => {
            (format!(r#"{{"{}":{}}}"#, answer.reasoning_field, quote(text)), "null".to_owned())
        }
        Event::Text(text) => (format!(r#"{{"content":{}}}"#, quote(text)), "null".to_owned()),
        Event::Call(i) => {
            let calls = call_delta(answer, answer.call.as_ref()?, *i);
            (format!(r#"{{"tool_calls":{calls}}}"#), "null".to_owned())
        }
        Event::Finish => {
            let inside = matches!(answer.place, UsagePlace::Choice | UsagePlace::Both);
            let extra = if inside { format!(r#","usage":{}"#, usage(answer)) } else { String::new() };
            ("{}".to_owned(), format!("{}{extra}", quote(&answer.finish)))
        }
        Event::Usage => {
            let outside = matches!(answer.place, UsagePlace::Top | UsagePlace::Both);
            return outside.then(|| format!(r#"{head},"choices":[],"usage":{}}}"#, usage(answer)));
        }
        Event::ThinkEnd => return None,
    };
    Some(format!(
        r#"{head},"choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]{null}}}"#
    ))
}

pub(super) fn completion(answer: &Answer) -> String {
    let calls = answer.call.as_ref().map(|call| format!(r#","tool_calls":{}"#, call_whole(answer, call)));
    let thought = match answer.think {
        0 => String::new(),
        _ => format!(r#","{}":{}"#, answer.reasoning_field, reasoning(answer)),
    };
    let usage = billed(answer, &usage(answer));
    format!(
        r#"{},"choices":[{{"index":0,"message":{{"role":"assistant","content":{}{thought},"refusal":null{}}},"logprobs":null,"finish_reason":{}}}]{usage}}}"#,
        head(answer, "chat.completion"),
        quote(&answer.text.whole()),
        calls.unwrap_or_default(),
        quote(&answer.finish),
    )
}
