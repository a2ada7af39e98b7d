//! One answer, decided before its first byte: text, reasoning, tool call, finish and a bill that adds up.

use serde_json::{Value, json};

use crate::Make;
use crate::ask::{Ask, count_tokens};
use crate::clock;
use crate::gates;
use crate::models::Model;
use crate::script::{Script, UsagePlace};
use crate::text::{Text, key_of, mix};

/// Reasoning deltas of a thinking model when the script names no number.
const THINK_DEFAULT: u32 = 3;
/// What a `$web_search` round adds to the next prompt.
pub(crate) const SEARCH_TOKENS: u64 = 13_046;
/// Moonshot's search, which runs as a tool call that the client hands back.
pub(crate) const BUILTIN_SEARCH: &str = "$web_search";

/// The bill. `prompt + completion = total`, and the parts never exceed the whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    pub(crate) reasoning: u64,
    pub(crate) cached: u64,
}

/// A tool call in place of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
    /// Sent in pieces rather than whole.
    pub(crate) pieces: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) make: Make,
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) text: Text,
    pub(crate) think: u32,
    pub(crate) finish: String,
    pub(crate) usage: Usage,
    pub(crate) place: UsagePlace,
    /// A completion that is not streamed carries usage.
    pub(crate) billed: bool,
    /// Ordinary chunks say `"usage":null`, as OpenAI's do when usage was asked for.
    pub(crate) null_usage: bool,
    pub(crate) reasoning_field: String,
    pub(crate) call: Option<Call>,
    /// GLM's search results, and whether they ride on the first chunk rather than the last.
    pub(crate) search: Option<(Value, bool)>,
    pub(crate) huge: Option<usize>,
    pub(crate) endless: bool,
    pub(crate) no_done: bool,
    pub(crate) bare: bool,
}

/// What the answer depends on beside the request.
pub(crate) struct Context {
    pub(crate) make: Make,
    pub(crate) seed: u64,
    /// The arrival number, which makes ids unique.
    pub(crate) n: u64,
    /// Prompt tokens found in the prefix cache.
    pub(crate) cached: u64,
}

/// The arguments of the `$web_search` call, which must come back verbatim.
pub(crate) fn search_arguments(ask: &Ask) -> String {
    let id = mix(key_of(0, ask.last_user().as_bytes()), 0);
    format!(r#"{{"search_result":{{"search_id":"{id:016x}"}},"usage":{{"total_tokens":{SEARCH_TOKENS}}}}}"#)
}

fn tools(ask: &Ask) -> &[Value] {
    ask.field("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The request offers `$web_search` and its last word is the user's, so the model searches.
fn searches(make: Make, ask: &Ask) -> bool {
    let offered = tools(ask)
        .iter()
        .any(|tool| tool.pointer("/function/name").and_then(Value::as_str) == Some(BUILTIN_SEARCH));
    make == Make::Kimi && offered && ask.turns.last().is_some_and(|turn| turn.role == "user")
}

fn call(make: Make, ask: &Ask, script: &Script, key: u64) -> Option<Call> {
    let name = match &script.tool {
        Some(name) => name.clone(),
        None if searches(make, ask) => BUILTIN_SEARCH.to_owned(),
        None => return None,
    };
    let arguments = if name == BUILTIN_SEARCH {
        search_arguments(ask)
    } else {
        r#"{"text": "na\u00efve \"café\" 月"}"#.to_owned()
    };
    let id = match make {
        Make::Kimi if ask.base.starts_with("kimi-k2") => format!("functions.{name}:0"),
        Make::Kimi => format!("{name}_0"),
        Make::Glm => format!("call_-{}", mix(key, 1) >> 1),
        Make::OpenAi => format!("call_{:016x}", mix(key, 1)),
    };
    let streamed = ask.field("tool_stream").and_then(Value::as_bool) == Some(true);
    Some(Call { id, name, arguments, pieces: make != Make::Glm || streamed })
}

fn glm_search(make: Make, ask: &Ask) -> Option<(Value, bool)> {
    let settings = tools(ask).iter().find_map(|tool| tool.get("web_search"))?;
    let wanted = settings.get("search_result").and_then(Value::as_bool) == Some(true);
    (make == Make::Glm && wanted).then(|| {
        let items = json!([{"title": "t", "content": "c", "link": "https://e.x/1", "media": "m", "icon": "", "refer": "ref_1",
            "publish_date": "2026-11-01"}]);
        (items, settings.get("result_sequence").and_then(Value::as_str) != Some("after"))
    })
}

fn id(context: &Context, key: u64, created: u64) -> String {
    let (a, b) = (mix(key, context.n), mix(!key, context.n));
    match context.make {
        Make::Kimi => format!("chatcmpl-{:024x}", u128::from(a) << 32 | u128::from(b & 0xFFFF_FFFF)),
        // Recorded ids are 28 to 30 characters: fourteen digits, then hex.
        Make::Glm => format!("{}{a:016x}", clock::digits(created)),
        Make::OpenAi => format!("chatcmpl-{a:016x}{b:016x}"),
    }
}

fn place(make: Make, ask: &Ask, script: &Script) -> UsagePlace {
    script.usage.unwrap_or(match (make, ask.include_usage) {
        (Make::Kimi, true) => UsagePlace::Both,
        (Make::Kimi, false) => UsagePlace::Choice,
        (Make::Glm, _) | (Make::OpenAi, true) => UsagePlace::Top,
        (Make::OpenAi, false) => UsagePlace::None,
    })
}

impl Answer {
    /// Decides the answer to a request that passed the gates.
    pub(crate) fn new(context: &Context, model: Model, ask: &Ask, body: &[u8], script: &Script) -> Answer {
        let make = context.make;
        let key = key_of(context.seed, body);
        let created = clock::unix_seconds();
        let search = glm_search(make, ask);
        let call = call(make, ask, script, key);
        let mut text = if script.echo {
            Text::literal(&ask.describe().to_string())
        } else if call.is_some() {
            Text::literal("")
        } else {
            Text::spoken(make, ask, key, script.tokens, search.is_some())
        };
        let mut think = script.think.unwrap_or(if gates::thinks(model, ask) { THINK_DEFAULT } else { 0 });
        let mut finish = if call.is_some() { "tool_calls" } else { "stop" };
        if let Some(cap) = ask.cap() {
            let cap32 = u32::try_from(cap).unwrap_or(u32::MAX);
            let left = usize::try_from(cap.saturating_sub(u64::from(think))).unwrap_or(usize::MAX);
            if think > cap32 || text.len() > left {
                finish = "length";
            }
            think = think.min(cap32);
            text.truncate(left);
        }
        let searched = ask
            .turns
            .iter()
            .filter(|turn| turn.role == "tool" && turn.name.as_deref() == Some(BUILTIN_SEARCH))
            .count();
        let prompt = ask.prompt_tokens() + SEARCH_TOKENS * u64::try_from(searched).unwrap_or(0);
        let words = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let usage = Usage {
            prompt,
            completion: words
                + u64::from(think)
                + call.as_ref().map_or(0, |call| count_tokens(&call.arguments)),
            reasoning: u64::from(think),
            cached: script.cached.map_or(context.cached, u64::from).min(prompt),
        };
        Answer {
            make,
            id: id(context, key, created),
            created,
            model: script.model.clone().unwrap_or_else(|| ask.model.clone()),
            text,
            think,
            finish: script.finish.clone().unwrap_or_else(|| finish.to_owned()),
            usage,
            place: place(make, ask, script),
            billed: script.usage != Some(UsagePlace::None),
            null_usage: make == Make::OpenAi && ask.include_usage,
            reasoning_field: script.reasoning.clone().unwrap_or_else(|| "reasoning_content".to_owned()),
            call,
            search,
            huge: script.huge.and_then(|bytes| usize::try_from(bytes).ok()),
            endless: script.endless,
            no_done: script.no_done,
            bare: script.bare,
        }
    }
}
