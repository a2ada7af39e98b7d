//! The words that stand in state columns. A word is never changed once a release has written it.

use super::rows::{AttemptState, CallState};
use crate::models::Role;

impl CallState {
    /// The states in which a call is still to be answered.
    pub const OPEN: [&'static str; 3] = ["accepted", "dispatched", "streaming"];

    /// The word in column `calls.state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dispatched => "dispatched",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Unknown => "unknown",
        }
    }

    /// The state that the word means; none for a word that no release of ours writes.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "accepted" => Some(Self::Accepted),
            // A streaming call has been dispatched; whoever reads the journal needs no more.
            "dispatched" | "streaming" => Some(Self::Dispatched),
            "completed" => Some(Self::Completed),
            "failed" => Some(Self::Failed),
            "cancelled" => Some(Self::Cancelled),
            "interrupted" => Some(Self::Interrupted),
            "unknown" => Some(Self::Unknown),
            _ => None,
        }
    }
}

impl AttemptState {
    /// The word in column `attempts.state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dispatched => "dispatched",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

/// The word in column `messages.role`.
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// The role that the word means.
pub(crate) fn role_from_word(word: &str) -> Option<Role> {
    match word {
        "system" => Some(Role::System),
        "user" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        _ => None,
    }
}
