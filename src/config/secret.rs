//! A secret in memory. Must never be printed, logged or put into an error.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

/// A key, a token or another text that only its addressee may see; clones share it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(Arc<str>);

impl Secret {
    /// The text itself. For the wire alone, never for a log.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}
