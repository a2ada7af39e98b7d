//! What a token opens.

use std::fmt;
use std::str::FromStr;

use exai_actors::ids::Principal;
use serde::{Deserialize, Serialize};

/// A part of the server that a token opens. No scope contains another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// MCP: calls, and everything that is read there.
    Client,
    /// The dashboard, and what it and `exai status` read.
    Dashboard,
    /// What changes the server: breakers, reloads.
    Admin,
}

impl Scope {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Client, Self::Dashboard, Self::Admin];

    /// The scope as it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Dashboard => "dashboard",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        named.ok_or_else(|| "a scope is client, dashboard or admin".to_owned())
    }
}

/// Who sends a request: whose conversations, calls and files are meant, and what the token opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The token's name; `local` for the one that is not named.
    pub(crate) principal: Principal,
    /// What the token opens.
    pub(crate) scopes: Vec<Scope>,
}

impl Caller {
    /// Whether the token opens this part.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}
