//! A chat request as the gates and the answer see it: read leniently from JSON, because the gates are there to refuse with the make's own words.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) role: String,
    pub(crate) name: Option<String>,
    pub(crate) text: String,
    /// Content is absent, null, `""` or `[]`.
    pub(crate) empty: bool,
    /// `reasoning_content` is present, be it empty.
    pub(crate) reasoning: bool,
    /// Ids of the calls an assistant message makes.
    pub(crate) calls: Vec<String>,
    /// The call a tool message answers.
    pub(crate) answers: Option<String>,
}

/// A chat request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The model as asked, script included.
    pub(crate) model: String,
    /// The model the gate looks at.
    pub(crate) base: String,
    /// The script inside the model name.
    pub(crate) script: Option<String>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) turns: Vec<Turn>,
    pub(crate) body: Value,
}

/// One token is four characters; the double's tokenizer and its bills agree.
pub(crate) fn count_tokens(text: &str) -> u64 {
    u64::try_from(text.chars().count().div_ceil(4)).unwrap_or(u64::MAX)
}

/// The first `max` characters.
pub(crate) fn clip(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// Hex digits of a SHA-256.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text_of(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
    texts.join("\n")
}

fn turn(message: &Value) -> Turn {
    let content = message.get("content").unwrap_or(&Value::Null);
    let string = |key: &str| message.get(key).and_then(Value::as_str).map(str::to_owned);
    let calls = message.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Turn {
        role: string("role").unwrap_or_default(),
        name: string("name"),
        text: text_of(content),
        empty: content.is_null()
            || content.as_str() == Some("")
            || content.as_array().is_some_and(Vec::is_empty),
        reasoning: message.get("reasoning_content").is_some_and(Value::is_string),
        calls: calls
            .iter()
            .map(|call| call.get("id").and_then(Value::as_str).unwrap_or_default().to_owned())
            .collect(),
        answers: string("tool_call_id"),
    }
}

impl Turn {
    /// A message costs its text, and four.
    pub(crate) fn tokens(&self) -> u64 {
        4 + count_tokens(&self.text)
    }
}

impl Ask {
    /// Reads a request body; none if it is no JSON object.
    pub(crate) fn read(bytes: &[u8]) -> Option<Ask> {
        let body: Value = serde_json::from_slice(bytes).ok()?;
        body.as_object()?;
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        let (base, script) = match model.split_once('+') {
            Some((base, script)) => (base.to_owned(), Some(script.to_owned())),
            None => (model.clone(), None),
        };
        let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let turns = messages.iter().map(turn).collect();
        let stream = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
        let include_usage =
            body.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
        Some(Ask { model, base, script, stream, include_usage, turns, body })
    }

    pub(crate) fn field(&self, key: &str) -> Option<&Value> {
        self.body.get(key).filter(|value| !value.is_null())
    }

    /// The cap on reasoning and answer; `max_completion_tokens` wins.
    pub(crate) fn cap(&self) -> Option<u64> {
        self.field("max_completion_tokens").or_else(|| self.field("max_tokens")).and_then(Value::as_u64)
    }

    /// `thinking.type` is `disabled`.
    pub(crate) fn thinking_off(&self) -> bool {
        self.body.pointer("/thinking/type").and_then(Value::as_str) == Some("disabled")
    }

    pub(crate) fn last_user(&self) -> &str {
        self.turns
            .iter()
            .rev()
            .find(|turn| turn.role == "user")
            .map(|turn| turn.text.as_str())
            .unwrap_or_default()
    }

    /// The ids of uploaded media that `ms://` urls in the messages name.
    pub(crate) fn references(&self) -> Vec<&str> {
        let messages =
            self.body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let parts = messages.iter().filter_map(|message| message.get("content")?.as_array()).flatten();
        let media = parts.filter_map(|part| part.get("image_url").or_else(|| part.get("video_url")));
        let urls = media.filter_map(|media| media.get("url").unwrap_or(media).as_str());
        urls.filter_map(|url| url.strip_prefix("ms://")).collect()
    }

    /// What the prompt is billed.
    pub(crate) fn prompt_tokens(&self) -> u64 {
        self.turns.iter().map(Turn::tokens).sum()
    }

    /// A JSON description of the request, for the script `echo`.
    pub(crate) fn describe(&self) -> Value {
        let parameters: serde_json::Map<String, Value> = self
            .body
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| !["messages", "model"].contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        serde_json::json!({
            "model": self.model,
            "messages": self.turns.len(),
            "roles": self.turns.iter().map(|turn| turn.role.as_str()).collect::<Vec<_>>(),
            "texts": self.turns.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>(),
            "last_user": self.last_user(),
            "prompt_tokens": self.prompt_tokens(),
            "parameters": parameters,
        })
    }
}
