//! GLM (Z.AI API reference, chat completion). It has no `stream_options`; its usage always comes with the last chunk.

use bytes::Bytes;
use serde::Serialize;

use super::{BadArgument, Messages, Prompt, ThinkingSwitch, encode, thinking};

/// The largest `max_tokens` that the make takes.
const MAX_TOKENS: u32 = 131_072;

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: Messages<'a>,
    stream: bool,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingSwitch>,
}

pub(super) fn request(prompt: &Prompt) -> Result<Bytes, BadArgument> {
    if prompt.temperature.is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
        return Err(BadArgument::Temperature);
    }
    if prompt.output_tokens_max > MAX_TOKENS {
        return Err(BadArgument::MaxTokens);
    }
    Ok(encode(&Request {
        model: prompt.model.id.as_str(),
        messages: Messages(&prompt.messages),
        stream: true,
        max_tokens: prompt.output_tokens_max,
        temperature: prompt.temperature,
        thinking: thinking(prompt)?,
    }))
}
