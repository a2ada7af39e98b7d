//! Kimi (Moonshot API reference, chat completion).

use bytes::Bytes;
use serde::Serialize;

use super::openai::StreamOptions;
use super::{BadArgument, Messages, Prompt, ThinkingSwitch, encode, thinking};

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: Messages<'a>,
    stream: bool,
    stream_options: StreamOptions,
    /// Always sent: without it the account's token rate is charged for the longest answer that the model could give.
    max_completion_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<ThinkingSwitch>,
}

/// Temperature, `top_p` and penalties are fixed by the make and answered 400 when set: a temperature is refused here, since to
/// drop it silently would answer another question than was asked. The K3 family has no `thinking` field at all; being always
/// thinking, it is never sent one, and its `reasoning_effort` stays at the make's default.
pub(super) fn request(prompt: &Prompt) -> Result<Bytes, BadArgument> {
    if prompt.temperature.is_some() {
        return Err(BadArgument::Temperature);
    }
    Ok(encode(&Request {
        model: prompt.model.id.as_str(),
        messages: Messages(&prompt.messages),
        stream: true,
        stream_options: StreamOptions::default(),
        max_completion_tokens: prompt.output_tokens_max,
        thinking: thinking(prompt)?,
    }))
}
