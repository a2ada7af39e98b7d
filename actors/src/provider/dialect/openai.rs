//! OpenAI's chat completions as the many servers take them that follow it.

use bytes::Bytes;
use serde::Serialize;

use super::{BadArgument, Messages, Prompt, encode};

/// Asks for the tokens that were spent; they come in a chunk of their own before the end.
#[derive(Serialize)]
pub(super) struct StreamOptions {
    include_usage: bool,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { include_usage: true }
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: Messages<'a>,
    stream: bool,
    stream_options: StreamOptions,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
}

/// There is no common switch for thinking, so a request that sets it is refused: nothing could be sent that honours it.
pub(super) fn request(prompt: &Prompt) -> Result<Bytes, BadArgument> {
    if prompt.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(BadArgument::Temperature);
    }
    if prompt.thinking.is_some() {
        return Err(BadArgument::Thinking);
    }
    Ok(encode(&Request {
        model: prompt.model.id.as_str(),
        messages: Messages(&prompt.messages),
        stream: true,
        stream_options: StreamOptions::default(),
        max_tokens: prompt.output_tokens_max,
        temperature: prompt.temperature,
    }))
}
