//! What each make refuses before it answers: key, model, parameters, history, length (provider facts, D7 to D11).

use serde_json::Value;

use crate::Make;
use crate::answer::{BUILTIN_SEARCH, search_arguments};
use crate::ask::Ask;
use crate::models::{self, Model, Thinking};
use crate::refusal::{self, Refusal, kimi_not_found};
use crate::script::Script;

/// The key gate. `required` is the only key accepted; without one any key is, and `keyless` accepts none too.
pub(crate) fn key(make: Make, given: &str, required: Option<&str>, keyless: bool) -> Option<Refusal> {
    let welcome = match required {
        Some(required) => given == required,
        None => keyless || !given.is_empty(),
    };
    (!welcome).then(|| refusal::by_name(make, "auth", &Script::default(), ""))
}

/// Whether the model reasons in this request.
pub(crate) fn thinks(model: Model, ask: &Ask) -> bool {
    match model.thinking {
        Thinking::Always => true,
        Thinking::Default => !ask.thinking_off(),
        Thinking::Never => false,
    }
}

/// All gates of a chat request; the model, if they let it pass.
pub(crate) fn chat(make: Make, ask: &Ask) -> Result<Model, Refusal> {
    let named = |name: &str| refusal::by_name(make, name, &Script::default(), &ask.base);
    let model = models::find(make, &ask.base).ok_or_else(|| match make {
        Make::Kimi => kimi_not_found(&ask.base),
        Make::Glm | Make::OpenAi => named("not_found"),
    })?;
    if ask.turns.is_empty() {
        return Err(Refusal::plain(make, 400, "Invalid request: messages must not be empty"));
    }
    let refused = match make {
        Make::Kimi => kimi_parameters(model, ask).or_else(|| kimi_history(thinks(model, ask), ask)),
        Make::Glm => glm_parameters(model, ask),
        Make::OpenAi => None,
    };
    if let Some(refusal) = refused {
        return Err(refusal);
    }
    if ask.prompt_tokens() > model.context {
        return Err(match make {
            Make::Kimi => invalid(&format!(
                "Invalid request: Your request exceeded model token limit : {}",
                model.context
            )),
            Make::Glm | Make::OpenAi => named("too_long"),
        });
    }
    Ok(model)
}

fn invalid(message: &str) -> Refusal {
    Refusal::kimi(400, "invalid_request_error", message)
}

/// D8: sampling is fixed on every kimi model; unknown fields are ignored.
fn kimi_parameters(model: Model, ask: &Ask) -> Option<Refusal> {
    let thinking = thinks(model, ask);
    let k2 = model.id.starts_with("kimi-k2");
    if k2 && model.thinking == Thinking::Always && ask.thinking_off() {
        return Some(invalid("invalid thinking: only type=enabled is allowed for this model"));
    }
    let fixed = [
        ("temperature", if thinking { 1.0 } else { 0.6 }),
        ("top_p", 0.95),
        ("n", 1.0),
        ("presence_penalty", 0.0),
        ("frequency_penalty", 0.0),
    ];
    for (name, only) in fixed {
        let differs = |value: &Value| value.as_f64().is_none_or(|value| (value - only).abs() > 1e-9);
        if ask.field(name).is_some_and(differs) {
            return Some(invalid(&format!("invalid {name}: only {only} is allowed for this model")));
        }
    }
    let choice = ask.field("tool_choice");
    if k2
        && thinking
        && choice.is_some_and(|choice| choice.as_str() == Some("required") || choice.is_object())
    {
        let what = if choice.is_some_and(Value::is_object) { "specified" } else { "required" };
        return Some(invalid(&format!("tool_choice '{what}' is incompatible with thinking enabled")));
    }
    None
}

/// D9: what an earlier turn must carry.
fn kimi_history(thinking: bool, ask: &Ask) -> Option<Refusal> {
    let mut known: Vec<&str> = Vec::new();
    for (index, turn) in ask.turns.iter().enumerate() {
        if turn.role == "assistant" {
            if thinking && !turn.calls.is_empty() && !turn.reasoning {
                return Some(invalid(&format!(
                    "thinking is enabled but reasoning_content is missing in assistant tool call message at index {index}"
                )));
            }
            if turn.calls.is_empty() && turn.empty {
                return Some(invalid(&format!(
                    "the message at position {index} with role 'assistant' must not be empty"
                )));
            }
            known.extend(turn.calls.iter().map(String::as_str));
        }
        if turn.role == "tool" && !turn.answers.as_deref().is_some_and(|id| known.contains(&id)) {
            return Some(invalid("tool_call_id  is not found"));
        }
        // What the search found travels in the arguments: changed, it is not found again.
        if turn.role == "tool"
            && turn.name.as_deref() == Some(BUILTIN_SEARCH)
            && turn.text != search_arguments(ask)
        {
            return Some(invalid("tool_call_id  is not found"));
        }
    }
    None
}

/// D8 on GLM: always-thinking models, the range of `max_tokens`, and a dialogue without a user.
fn glm_parameters(model: Model, ask: &Ask) -> Option<Refusal> {
    if model.thinking == Thinking::Always && ask.thinking_off() {
        return Some(Refusal::glm(
            400,
            1210,
            "Invalid API parameter, thinking.type must be enabled for this model.",
            false,
        ));
    }
    let range = |name: &str, low: f64, high: f64| {
        let outside = |value: &Value| value.as_f64().is_none_or(|value| !(low..=high).contains(&value));
        let message = || {
            format!(
                "Invalid API parameter, {name} is out of range [{low},{high}], please check the documentation."
            )
        };
        ask.field(name).is_some_and(outside).then(|| Refusal::glm(400, 1210, &message(), false))
    };
    let silent = ask.turns.iter().all(|turn| turn.role == "system" || turn.role == "assistant");
    range("max_tokens", 1.0, 131_072.0)
        .or_else(|| range("temperature", 0.0, 1.0))
        .or_else(|| range("top_p", 0.01, 1.0))
        .or_else(|| silent.then(|| refusal::by_name(Make::Glm, "1214", &Script::default(), model.id)))
}
