//! A client's file as text: our entry is put in and taken out, every other byte stays. Each edit is read again, and refused unless it
//! changed our entry and nothing else. Pure.

use serde::Deserialize;
use serde_json::Value;

use super::{json_text, toml_text};

/// The name of our entry.
pub(crate) const NAME: &str = "exai";

/// The language of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Syntax {
    /// JSON, with comments and trailing commas.
    Json,
    /// TOML.
    Toml,
}

/// A text that is not edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    /// It is not what it should be.
    #[error("line {line} column {column}: {problem}; fix: correct it there, or remove the file")]
    Unreadable {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser said.
        problem: String,
    },
    /// It is well-formed, and of another shape.
    #[error("{0}")]
    Shape(String),
}

impl EditError {
    /// Not the language it should be in, at a byte of `text`.
    pub(super) fn at(text: &str, offset: usize, problem: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self::Unreadable {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            problem: problem.into(),
        }
    }
}

impl Syntax {
    /// Our entry as it stands in `text`, if it does.
    pub(crate) fn get(self, text: &str, section: &str) -> Result<Option<Value>, EditError> {
        Ok(self.value(text)?.get(section).and_then(|servers| servers.get(NAME)).cloned())
    }

    /// `text` with our entry in it.
    pub(crate) fn put(self, text: &str, section: &str, entry: &Value) -> Result<String, EditError> {
        let mut wanted = self.value(text)?;
        if wanted.get(section).and_then(|servers| servers.get(NAME)) == Some(entry) {
            return Ok(text.to_owned());
        }
        let done = match self {
            Self::Json => json_text::put(text, section, entry)?,
            Self::Toml => toml_text::put(text, section, entry)?,
        };
        let servers = wanted.as_object_mut().map(|root| root.entry(section).or_insert_with(empty));
        if let Some(servers) = servers.and_then(Value::as_object_mut) {
            servers.insert(NAME.to_owned(), entry.clone());
        }
        self.verified(done, &wanted, section)
    }

    /// `text` without our entry. When all else is as we found it, `before`, then it is `before` again.
    pub(crate) fn take(self, text: &str, section: &str, before: Option<&str>) -> Result<String, EditError> {
        let Some(entry) = self.get(text, section)? else { return Ok(text.to_owned()) };
        if let Some(before) = before
            && self.put(before, section, &entry).as_deref() == Ok(text)
        {
            return Ok(before.to_owned());
        }
        let mut wanted = self.value(text)?;
        let mut done = match self {
            Self::Json => json_text::take(text, &[section, NAME])?,
            Self::Toml => toml_text::take(text, section)?,
        };
        let servers = wanted.get_mut(section).and_then(Value::as_object_mut);
        let emptied = servers.is_some_and(|servers| {
            servers.remove(NAME);
            servers.is_empty()
        });
        // A section that only our entry needed goes with it.
        let was_there =
            before.and_then(|before| self.value(before).ok()).and_then(|v| v.get(section).cloned());
        if emptied && before.is_some() && was_there.is_none() || self == Self::Toml && emptied {
            if let Some(root) = wanted.as_object_mut() {
                root.remove(section);
            }
            if self == Self::Json {
                done = json_text::take(&done, &[section])?;
            }
        }
        self.verified(done, &wanted, section)
    }

    fn verified(self, done: String, wanted: &Value, section: &str) -> Result<String, EditError> {
        if self.value(&done).as_ref() == Ok(wanted) {
            return Ok(done);
        }
        Err(EditError::Shape(format!(
            "`{section}` is written in a way that cannot be edited without touching the rest; fix: edit it by hand, `--print` \
             shows how"
        )))
    }

    fn value(self, text: &str) -> Result<Value, EditError> {
        match self {
            Self::Json => json_text::value(text),
            Self::Toml => toml_text::value(text),
        }
    }
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

/// How the lines of `text` end.
pub(super) fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}
