//! Folds the payloads of one stream into one answer. Pure; it decides when an answer is complete, and never calls half of one
//! whole.

mod chunk;

use chunk::{Chunk, Delta, made_whole, usage_in};

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
    brought: u64,
    /// The index of the choice that is the answer: one is asked for, and another's words would be another answer.
    choice: Option<u64>,
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
            brought: 0,
            choice: None,
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
        match serde_json::from_slice::<Chunk<'_>>(payload) {
            Ok(chunk) => self.take(chunk, payload, now),
            Err(_) => {
                let whole = made_whole(payload).ok_or(Cause::of(FailureClass::Garbage))?;
                let chunk = serde_json::from_str(&whole).map_err(|_| Cause::of(FailureClass::Garbage))?;
                self.take(chunk, whole.as_bytes(), now)
            }
        }
    }

    fn take(&mut self, chunk: Chunk<'_>, payload: &[u8], now: UtcMillis) -> Result<(), Cause> {
        let said = match chunk.error {
            Some(error) => Some(Said::read_fields(error.get())),
            None => chunk.is_flat_error().then(|| Said::read(payload).unwrap_or_default()),
        };
        if let Some(said) = said {
            return Err(classify_in_stream(self.dialect, &said, now));
        }
        let choice = chunk.choice.filter(|choice| {
            let index = choice.index();
            *self.choice.get_or_insert(index) == index
        });
        if let Some(usage) =
            usage_in(chunk.usage, chunk.x_groq, choice.as_ref()).filter(|usage| self.usage != Some(*usage))
        {
            self.usage = Some(usage);
            self.brought += 1;
        }
        if let Some(model) = chunk.model.filter(|model| !model.is_empty() && self.model.is_none()) {
            self.model = Some(clipped(&model));
        }
        let Some(choice) = choice else { return Ok(()) };
        if let Some(finish) = choice.finish_reason.filter(|finish| !finish.is_empty()) {
            self.brought += u64::from(self.finish.is_none());
            self.finish = Some(clipped(&finish));
        }
        choice.delta.map_or(Ok(()), |delta| self.append(&delta))
    }

    fn append(&mut self, delta: &Delta<'_>) -> Result<(), Cause> {
        // No tool is offered, so none is called for us; it is something of an answer all the same.
        if let Some(bytes) = delta.tool_call_bytes() {
            self.spend(bytes)?;
        }
        if let Some(bytes) = delta.reasoning_bytes() {
            self.spend(bytes)?;
            self.progress.phase = self.progress.phase.max(UpstreamPhase::Thinking);
            self.progress.tokens = self.progress.tokens.saturating_add(1);
        }
        if let Some(content) = delta.content.as_deref().filter(|content| !content.is_empty()) {
            self.spend(content.len())?;
            self.text.push_str(content);
            self.progress.phase = UpstreamPhase::Answering;
            self.progress.tokens = self.progress.tokens.saturating_add(1);
        }
        Ok(())
    }

    /// How many things of an answer have come: words, thoughts, calls of tools, other counts of tokens, its end.
    pub(super) fn brought(&self) -> u64 {
        self.brought
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
            None => return Err(Cause::of(FailureClass::Flood)),
        }
        self.brought += 1;
        Ok(())
    }
}

/// A name as far as it is one: bounded, and of printable ASCII alone.
fn clipped(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests;
