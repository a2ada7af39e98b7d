//! Folds the payloads of one stream into one answer. Pure; it decides when an answer is complete, and never calls half of one
//! whole.

mod chunk;

use chunk::Chunk;

use super::dialect::Dialect;
use super::errors::{Cause, Said, classify_in_stream};
use super::messages::{FailureClass, Finish, UpstreamPhase, UpstreamProgress};
use crate::clock::UtcMillis;
use crate::models::Usage;

/// Bytes that any answer may have, whatever its cap.
const ANSWER_BYTES_BASE: usize = 64 * 1024;
/// Bytes for each token of the cap: the longest common tokens are runs of some 64 spaces.
const BYTES_PER_TOKEN: usize = 64;
/// The most bytes of an answer, reasoning included.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest model name and the longest finish word that are kept.
const NAME_BYTES_MAX: usize = 128;

/// A complete answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// The text, which is not empty.
    pub text: String,
    /// Why the model stopped.
    pub finish: Finish,
}

/// The answer so far.
#[derive(Debug)]
pub struct Fold {
    dialect: Dialect,
    bytes_left: usize,
    text: String,
    progress: UpstreamProgress,
    model: Option<String>,
    usage: Option<Usage>,
    finish: Option<String>,
    done: bool,
}

impl Fold {
    /// The beginning of an answer of at most `output_tokens_max` tokens.
    pub fn new(dialect: Dialect, output_tokens_max: u32) -> Self {
        let tokens = usize::try_from(output_tokens_max).unwrap_or(usize::MAX);
        let bytes_left = tokens.saturating_mul(BYTES_PER_TOKEN).saturating_add(ANSWER_BYTES_BASE);
        Self {
            dialect,
            bytes_left: bytes_left.min(ANSWER_BYTES_MAX),
            text: String::new(),
            progress: UpstreamProgress::default(),
            model: None,
            usage: None,
            finish: None,
            done: false,
        }
    }

    /// Takes the data of one event.
    pub fn push(&mut self, payload: &[u8], now: UtcMillis) -> Result<(), Cause> {
        if self.done {
            return Ok(());
        }
        match payload.trim_ascii() {
            b"" => return Ok(()),
            b"[DONE]" => {
                self.done = true;
                return Ok(());
            }
            _ => {}
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(payload) else {
            return Err(Cause::of(FailureClass::Garbage));
        };
        if let Some(error) = chunk.error {
            // The bare words `"error": "..."` and the object alike.
            let error = serde_json::from_str(error.get()).unwrap_or_default();
            return Err(classify_in_stream(self.dialect, &Said::of_fields(&error), now));
        }
        self.usage = chunk.usage().or(self.usage);
        if let Some(model) = chunk.model.filter(|model| !model.is_empty() && self.model.is_none()) {
            self.model = Some(clipped(&model));
        }
        // One answer is asked for: choices beyond the first would be another one.
        let Some(choice) = chunk.choices.unwrap_or_default().into_iter().next() else { return Ok(()) };
        if let Some(finish) = choice.finish_reason.filter(|finish| !finish.is_empty()) {
            self.finish = Some(clipped(&finish));
        }
        let Some(delta) = choice.delta else { return Ok(()) };
        if let Some(bytes) = delta.reasoning_bytes() {
            self.spend(bytes)?;
            self.progress.phase = self.progress.phase.max(UpstreamPhase::Thinking);
            self.progress.tokens = self.progress.tokens.saturating_add(1);
        }
        let before = self.text.len();
        if let Some(content) = &delta.content {
            self.spend(content.bytes())?;
            content.append_to(&mut self.text);
        }
        if self.text.len() > before {
            self.progress.phase = UpstreamPhase::Answering;
            self.progress.tokens = self.progress.tokens.saturating_add(1);
        }
        Ok(())
    }

    /// How far it is.
    pub fn progress(&self) -> UpstreamProgress {
        self.progress
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tokens that the provider counted; the last word of the stream on them wins.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The model that the answer names.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether the model has said why it stopped. Usage may still follow.
    pub fn finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Whether the terminal event has come: nothing follows.
    pub fn done(&self) -> bool {
        self.done
    }

    /// The answer, at the end of the stream: complete by a finish reason or by `[DONE]`, or a failure.
    pub fn conclude(&mut self) -> Result<Folded, Cause> {
        let class = match self.finish.as_deref() {
            None if !self.done => FailureClass::BrokenStream,
            // Z.ai reports what befell a running stream as its finish reason; the others' words are told apart from those.
            Some("sensitive" | "content_filter") => FailureClass::ContentPolicy,
            Some("network_error" | "error") => FailureClass::Server,
            Some("model_context_window_exceeded") => FailureClass::TooLong,
            Some("length") if self.text.trim().is_empty() => FailureClass::OutputCap,
            None | Some(_) if self.text.trim().is_empty() => FailureClass::Garbage,
            None | Some(_) => {
                let finish = match self.finish.take() {
                    None => Finish::Stop,
                    Some(word) if word == "stop" => Finish::Stop,
                    Some(word) if word == "length" => Finish::Length,
                    Some(word) => Finish::Other(word),
                };
                return Ok(Folded { text: std::mem::take(&mut self.text), finish });
            }
        };
        Err(Cause { class, code: self.finish.clone(), retry_after: None })
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Cause> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => self.bytes_left = left,
            None => return Err(Cause::of(FailureClass::Garbage)),
        }
        Ok(())
    }
}

/// A name as far as it is one: bounded, and of printable ASCII alone.
fn clipped(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests;
