//! What is read of conversations by whoever looks through them: bounded parts, never a whole history. Pure.

use std::fmt;
use std::str::FromStr;

use diesel::sql_types::{Integer, Text};

use crate::clock::UtcMillis;
use crate::ids::{CallId, ConversationId, InvalidId, ModelId, ToolName};
use crate::models::Role;

diesel::define_sql_function! {
    /// Part of a text, in characters, the first being 1.
    fn substr(text: Text, from: Integer, count: Integer) -> Text;
}
diesel::define_sql_function! {
    /// The length of a text, in characters.
    fn length(text: Text) -> Integer;
}

/// Which conversations are wanted.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// At most so many.
    pub count_max: i64,
    /// Those that come after this place of the list.
    pub after: Option<Place>,
    /// Those whose id begins so; hexadecimal digits and hyphens.
    pub id_begins: Option<String>,
}

/// A place in the list of conversations, which is ordered by these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// When the conversation was last added to.
    pub updated_at: UtcMillis,
    /// Which.
    pub id: ConversationId,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.updated_at.0, self.id)
    }
}

impl FromStr for Place {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (at, id) = text.split_once('.').ok_or(InvalidId)?;
        Ok(Self { updated_at: UtcMillis(at.parse().map_err(|_| InvalidId)?), id: id.parse()? })
    }
}

/// A conversation, without what was said.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Which.
    pub id: ConversationId,
    /// What it is about.
    pub title: String,
    /// The tool that began it.
    pub tool: ToolName,
    /// How many turns it has.
    pub turn_count: i32,
    /// When it began.
    pub created_at: UtcMillis,
    /// When it was last added to.
    pub updated_at: UtcMillis,
}

impl Summary {
    /// Where it stands in the list.
    pub fn place(&self) -> Place {
        Place { updated_at: self.updated_at, id: self.id }
    }
}

/// A turn, or its beginning.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its number, from 1.
    pub seq: i32,
    /// Who spoke.
    pub role: Role,
    /// The model of the exchange.
    pub model: ModelId,
    /// The call of the exchange.
    pub call: CallId,
    /// The text, as far as it was asked for.
    pub text: String,
    /// The characters of the whole text.
    pub chars: i32,
    /// When.
    pub created_at: UtcMillis,
}
