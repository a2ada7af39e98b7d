//! How each make of provider wants to be asked: our prompt in, the bytes of its request out. Pure; a request that the provider is
//! documented to refuse is refused here, by the name of the argument.

mod glm;
mod kimi;
mod openai;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use super::messages::{ChatMessage, Prompt};
use crate::models::Role;
use crate::models::Thinking;

/// What a provider speaks. All are OpenAI's chat completions with differences that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Moonshot (Kimi API reference, chat completion).
    Kimi,
    /// Z.ai (Z.AI API reference, chat completion).
    Glm,
    /// Anyone else that follows OpenAI's reference.
    OpenAi,
}

/// An argument that the provider is known to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the model cannot take the argument {}", self.as_str())]
pub enum BadArgument {
    /// The sampling temperature: fixed by the provider, or out of its range.
    Temperature,
    /// Thinking: the model always thinks, or the provider has no switch for it.
    Thinking,
    /// The output cap: zero, or more than the provider takes.
    MaxTokens,
    /// The messages: no question, or one without text.
    Prompt,
}

impl BadArgument {
    /// The argument's name, as callers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::Thinking => "thinking",
            Self::MaxTokens => "max_tokens",
            Self::Prompt => "prompt",
        }
    }
}

impl Dialect {
    /// The body of a streaming request, or which argument this model cannot take.
    pub fn request(self, prompt: &Prompt) -> Result<Bytes, BadArgument> {
        if prompt.output_tokens_max == 0 {
            return Err(BadArgument::MaxTokens);
        }
        // Both makes refuse a conversation without a user's message, and one with an empty message.
        let asks = prompt.messages.iter().any(|message| message.role == Role::User);
        if !asks || prompt.messages.iter().any(|message| message.content.is_empty()) {
            return Err(BadArgument::Prompt);
        }
        match self {
            Self::Kimi => kimi::request(prompt),
            Self::Glm => glm::request(prompt),
            Self::OpenAi => openai::request(prompt),
        }
    }

    /// How long this make may be silent, before the first byte and between two: thinking models are for minutes.
    pub fn silence_max(self) -> Duration {
        match self {
            Self::Kimi => Duration::from_secs(300),
            Self::Glm => Duration::from_secs(600),
            Self::OpenAi => Duration::from_secs(120),
        }
    }
}

/// `thinking: {"type": ..}`, which Kimi and GLM share.
#[derive(Serialize)]
struct ThinkingSwitch {
    r#type: &'static str,
}

/// What to say about thinking, or that this model cannot be told so. Both makes answer 400 when an always-thinking model is told
/// not to think; telling it to is its own default and is left unsaid.
fn thinking(prompt: &Prompt) -> Result<Option<ThinkingSwitch>, BadArgument> {
    match (prompt.model.thinking, prompt.thinking) {
        (_, None) | (Thinking::Always, Some(true)) => Ok(None),
        (Thinking::Always, Some(false)) => Err(BadArgument::Thinking),
        (Thinking::Switchable | Thinking::None, Some(true)) => Ok(Some(ThinkingSwitch { r#type: "enabled" })),
        (Thinking::Switchable | Thinking::None, Some(false)) => {
            Ok(Some(ThinkingSwitch { r#type: "disabled" }))
        }
    }
}

/// The messages as every make takes them, without a copy of their text.
struct Messages<'a>(&'a [ChatMessage]);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Message<'a> {
            role: Role,
            content: &'a str,
        }
        let messages = self.0.iter().map(|message| Message { role: message.role, content: &message.content });
        serializer.collect_seq(messages)
    }
}

fn encode(body: &impl Serialize) -> Bytes {
    // Plain structs of text and numbers: the only failures that serde_json knows (maps with odd keys, failing writers) cannot occur.
    let bytes = serde_json::to_vec(body);
    debug_assert!(bytes.is_ok(), "a request body is plain data");
    Bytes::from(bytes.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::models::Model;

    fn prompt(model: &str, thinking: Thinking) -> Prompt {
        Prompt {
            model: Arc::new(Model {
                id: model.into(),
                provider: "any".into(),
                aliases: vec![],
                context_tokens: 1_000,
                output_tokens_max: 500,
                thinking,
                vision: false,
                price: None,
            }),
            messages: vec![
                ChatMessage { role: Role::System, content: "be brief".into() },
                ChatMessage { role: Role::User, content: "hi \"there\"\n".into() },
            ],
            temperature: None,
            thinking: None,
            output_tokens_max: 500,
        }
    }

    fn sent(dialect: Dialect, prompt: &Prompt) -> Result<Value, BadArgument> {
        dialect.request(prompt).map(|body| serde_json::from_slice(&body).unwrap())
    }

    fn messages() -> Value {
        json!([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi \"there\"\n"}])
    }

    #[test]
    fn kimi_is_asked_as_its_reference_says() {
        let mut asked = prompt("kimi-k2.6", Thinking::Switchable);
        let plain = json!({
            "model": "kimi-k2.6", "messages": messages(), "stream": true,
            "stream_options": {"include_usage": true}, "max_completion_tokens": 500,
        });
        assert_eq!(sent(Dialect::Kimi, &asked), Ok(plain.clone()));
        asked.thinking = Some(false);
        let mut silent = plain;
        silent["thinking"] = json!({"type": "disabled"});
        assert_eq!(sent(Dialect::Kimi, &asked), Ok(silent));
        asked.temperature = Some(1.0);
        assert_eq!(sent(Dialect::Kimi, &asked), Err(BadArgument::Temperature));
        let mut always = prompt("kimi-k3", Thinking::Always);
        always.thinking = Some(true);
        assert_eq!(sent(Dialect::Kimi, &always).unwrap().get("thinking"), None);
        always.thinking = Some(false);
        assert_eq!(sent(Dialect::Kimi, &always), Err(BadArgument::Thinking));
    }

    #[test]
    fn glm_is_asked_as_its_reference_says() {
        let mut asked = prompt("glm-4.6", Thinking::Switchable);
        asked.temperature = Some(0.5);
        asked.thinking = Some(true);
        let expected = json!({
            "model": "glm-4.6", "messages": messages(), "stream": true, "max_tokens": 500,
            "temperature": 0.5, "thinking": {"type": "enabled"},
        });
        assert_eq!(sent(Dialect::Glm, &asked), Ok(expected));
        for (temperature, ok) in [(0.0, true), (1.0, true), (1.1, false), (-0.1, false), (f32::NAN, false)] {
            asked.temperature = Some(temperature);
            assert_eq!(sent(Dialect::Glm, &asked).is_ok(), ok, "{temperature}");
        }
        asked.temperature = None;
        for (cap, ok) in [(0, false), (1, true), (131_072, true), (131_073, false)] {
            asked.output_tokens_max = cap;
            assert_eq!(sent(Dialect::Glm, &asked).is_ok(), ok, "{cap}");
        }
        asked.output_tokens_max = 1;
        asked.messages.pop();
        assert_eq!(sent(Dialect::Glm, &asked), Err(BadArgument::Prompt));
    }

    #[test]
    fn others_are_asked_as_openai_is() {
        let mut asked = prompt("gpt-x", Thinking::None);
        asked.temperature = Some(1.5);
        let expected = json!({
            "model": "gpt-x", "messages": messages(), "stream": true,
            "stream_options": {"include_usage": true}, "max_tokens": 500, "temperature": 1.5,
        });
        assert_eq!(sent(Dialect::OpenAi, &asked), Ok(expected));
        asked.thinking = Some(true);
        assert_eq!(sent(Dialect::OpenAi, &asked), Err(BadArgument::Thinking));
        asked.thinking = None;
        asked.temperature = Some(2.5);
        assert_eq!(sent(Dialect::OpenAi, &asked), Err(BadArgument::Temperature));
    }

    proptest! {
        #[test]
        fn any_text_arrives_as_it_was(text in "\\PC{1,40}|[\u{0}-\u{1f}\"\\\\]{1,10}") {
            for dialect in [Dialect::Kimi, Dialect::Glm, Dialect::OpenAi] {
                let mut asked = prompt("m", Thinking::None);
                asked.messages[1].content = text.as_str().into();
                prop_assert_eq!(&sent(dialect, &asked).unwrap()["messages"][1]["content"], &json!(text));
            }
        }
    }
}
