//! Z.ai's JSON, after cassettes recorded in March 2026 (table B3): the role on every delta, no finish before the end, usage unasked.

use super::{Event, billed, call_delta, call_whole, quote, reasoning};
use crate::answer::Answer;
use crate::script::UsagePlace;

fn usage(answer: &Answer) -> String {
    let usage = answer.usage;
    format!(
        r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}},"completion_tokens_details":{{"reasoning_tokens":{}}}}}"#,
        usage.prompt,
        usage.completion,
        usage.prompt + usage.completion,
        usage.cached,
        usage.reasoning
    )
}

fn head(answer: &Answer) -> String {
    let object = if answer.bare { "" } else { r#""object":"chat.completion.chunk","# };
    format!(r#"{{"id":"{}","created":{},{object}"model":{}"#, answer.id, answer.created, quote(&answer.model))
}

/// The search results, where they ride on this chunk.
fn search(answer: &Answer, first: bool) -> String {
    match &answer.search {
        Some((items, at_first)) if *at_first == first => format!(r#","web_search":{items}"#),
        Some(_) | None => String::new(),
    }
}

pub(super) fn chunk(answer: &Answer, event: &Event) -> Option<String> {
    let delta = match event {
        Event::Think(text) => format!(r#""{}":{}"#, answer.reasoning_field, quote(text)),
        Event::Text(text) => format!(r#""content":{}"#, quote(text)),
        Event::Call(i) => format!(r#""tool_calls":{}"#, call_delta(answer, answer.call.as_ref()?, *i)),
        Event::Finish => return Some(last(answer)),
        // Results that come first ride on a chunk of their own, in front of all.
        Event::Role => {
            let items = search(answer, true);
            let delta = r#"{"role":"assistant","content":""}"#;
            return (!items.is_empty())
                .then(|| format!(r#"{},"choices":[{{"index":0,"delta":{delta}}}]{items}}}"#, head(answer)));
        }
        Event::ThinkEnd | Event::Usage => return None,
    };
    Some(format!(r#"{},"choices":[{{"index":0,"delta":{{"role":"assistant",{delta}}}}}]}}"#, head(answer)))
}

fn last(answer: &Answer) -> String {
    let usage = usage(answer);
    let (inside, outside) = match answer.place {
        UsagePlace::None => (String::new(), String::new()),
        UsagePlace::Choice => (format!(r#","usage":{usage}"#), String::new()),
        UsagePlace::Top => (String::new(), format!(r#","usage":{usage}"#)),
        UsagePlace::Both => (format!(r#","usage":{usage}"#), format!(r#","usage":{usage}"#)),
    };
    format!(
        r#"{},"choices":[{{"index":0,"finish_reason":{},"delta":{{"role":"assistant","content":""}}{inside}}}]{}{outside}}}"#,
        head(answer),
        quote(&answer.finish),
        search(answer, false),
    )
}

pub(super) fn completion(answer: &Answer) -> String {
    let calls = answer.call.as_ref().map(|call| format!(r#","tool_calls":{}"#, call_whole(answer, call)));
    let items =
        answer.search.as_ref().map(|(items, _)| format!(r#","web_search":{items}"#)).unwrap_or_default();
    let usage = billed(answer, &usage(answer));
    format!(
        r#"{{"choices":[{{"finish_reason":{},"index":0,"message":{{"content":{},"{}":{},"role":"assistant"{}}}}}],"created":{},"id":"{}","model":{},"object":"chat.completion","request_id":"{}"{usage}{items}}}"#,
        quote(&answer.finish),
        quote(&answer.text.whole()),
        answer.reasoning_field,
        reasoning(answer),
        calls.unwrap_or_default(),
        answer.created,
        answer.id,
        quote(&answer.model),
        answer.id,
    )
}
