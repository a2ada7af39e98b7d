//! What can be read beside the tools: a principal's own conversations, and the models. Everything is bounded before it is read.

use serde_json::{Value, json};

use super::about;
use super::toolbox::Toolbox;
use crate::error::{CallError, ErrorKind};
use crate::ids::{ConversationId, Principal};
use crate::models::pages::{beginning, tokens_in_json};
use crate::storage::StorageError;
use crate::storage::browse::{Asked, Place, Summary, Told};

/// Tokens that one reading of a conversation has at most, by our estimate: four fifths of what clients take.
const READING_TOKENS_MAX: u32 = 20_000;
/// Turns of one reading.
const READING_TURNS_MAX: i64 = 20;
/// Characters of one turn that are read: more than the tokens above can be.
const TURN_CHARS_MAX: i32 = 80_000;
/// Models of one reading; a provider of hundreds is searched with `listmodels`.
const MODELS_MAX: usize = 200;

/// A part of a conversation.
#[derive(Debug)]
pub struct Shelf {
    /// The conversation and its turns, oldest first.
    pub facts: Value,
    /// The turn before which the next part ends, when there is one.
    pub older: Option<i32>,
}

impl Toolbox {
    /// The principal's conversations after a place of the list, newest first.
    pub async fn conversations(
        &self,
        principal: &Principal,
        after: Option<Place>,
        count_max: usize,
    ) -> Result<Vec<Summary>, CallError> {
        let count_max = i64::try_from(count_max).unwrap_or(0);
        let asked = Asked { count_max, after, id_begins: None };
        self.parts.store.conversations(principal, asked).await.map_err(|error| unread(&error))
    }

    /// The ids of the principal's conversations that begin so, newest first.
    pub async fn conversation_ids(
        &self,
        principal: &Principal,
        beginning: &str,
        count_max: usize,
    ) -> Result<Vec<String>, CallError> {
        if beginning.bytes().any(|byte| !byte.is_ascii_hexdigit() && byte != b'-') {
            return Ok(Vec::new());
        }
        let count_max = i64::try_from(count_max).unwrap_or(0);
        let asked = Asked { count_max, after: None, id_begins: Some(beginning.to_ascii_lowercase()) };
        let found = self.parts.store.conversations(principal, asked).await;
        let found = found.map_err(|error| unread(&error))?;
        Ok(found.into_iter().map(|summary| summary.id.to_string()).collect())
    }

    /// The newest turns of a conversation before turn `before`; none where the principal has no such conversation.
    pub async fn conversation(
        &self,
        principal: &Principal,
        id: ConversationId,
        before: Option<i32>,
    ) -> Result<Option<Shelf>, CallError> {
        let within = (READING_TURNS_MAX, TURN_CHARS_MAX);
        let read = self.parts.store.conversation(principal, id, before.unwrap_or(i32::MAX), within).await;
        Ok(read.map_err(|error| unread(&error))?.map(|(summary, newest_first)| shelf(&summary, newest_first)))
    }

    /// The models, for programs.
    pub fn models(&self) -> Value {
        self.parts.about.facts_of_models("", MODELS_MAX)
    }

    /// The names of models that hold this text, those first that begin with it.
    pub fn model_names(&self, part: &str) -> Vec<String> {
        let part = part.to_ascii_lowercase();
        let catalogue = self.parts.about.catalogue.get();
        let names = catalogue
            .models()
            .iter()
            .flat_map(|model| std::iter::once(model.id.to_string()).chain(model.aliases.iter().cloned()));
        let mut names: Vec<String> = names.filter(|name| name.to_ascii_lowercase().contains(&part)).collect();
        names.sort_by_key(|name| !name.to_ascii_lowercase().starts_with(&part));
        names
    }
}

fn shelf(summary: &Summary, newest_first: Vec<Told>) -> Shelf {
    let mut turns = Vec::new();
    let mut older = None;
    let mut left = READING_TOKENS_MAX;
    for mut told in newest_first {
        let tokens = tokens_in_json(&told.text);
        if tokens > left && !turns.is_empty() {
            break;
        }
        // The newest turn is cut rather than left out, or a long one could never be passed.
        if tokens > left {
            told.text.truncate(beginning(&told.text, left));
        }
        left = left.saturating_sub(tokens);
        older = Some(told.seq).filter(|seq| *seq > 1);
        turns.push(turn(&told));
    }
    turns.reverse();
    let facts = json!({
        "id": summary.id, "title": summary.title, "tool": summary.tool, "turns": summary.turn_count,
        "created_at": summary.created_at, "updated_at": summary.updated_at, "messages": turns,
    });
    Shelf { facts, older }
}

fn turn(told: &Told) -> Value {
    let shown = told.text.chars().count();
    let is_cut = usize::try_from(told.chars).is_ok_and(|chars| shown < chars);
    let mut turn = json!({
        "seq": told.seq, "role": told.role, "model": told.model, "call_id": told.call, "at": told.created_at,
        "text": told.text,
    });
    if is_cut {
        turn["chars_of_all"] = told.chars.into();
    }
    turn
}

fn unread(error: &StorageError) -> CallError {
    log::warn!("conversations could not be read: {error}");
    let message = "The database cannot be read at the moment. Ask again in a few seconds.";
    CallError::new(ErrorKind::StorageUnavailable, message).retry_after(about::DATABASE_RETRY_AFTER)
}
