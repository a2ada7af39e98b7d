//! What an event is.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::clock::UtcMillis;
use crate::ids::{CallId, ProviderName};

/// What kind of connection, or part of the process, an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A client's WebSocket.
    Websocket,
    /// An HTTP request.
    Http,
    /// A client behind the stdio bridge.
    Stdio,
    /// The shared cache.
    Redis,
    /// The database.
    Database,
    /// An actor of this process.
    Actor,
    /// The process itself.
    Server,
    /// A provider, under its own name.
    Provider(ProviderName),
}

impl Kind {
    /// The names of all kinds but the providers'.
    pub const FIXED: [&str; 7] = ["websocket", "http", "stdio", "redis", "database", "actor", "server"];

    /// The kind as it stands in answers and in the table.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Websocket => "websocket",
            Self::Http => "http",
            Self::Stdio => "stdio",
            Self::Redis => "redis",
            Self::Database => "database",
            Self::Actor => "actor",
            Self::Server => "server",
            Self::Provider(name) => name.as_str(),
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

/// Which way it went, as this process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To us.
    In,
    /// From us.
    Out,
    /// A connection, or a part, came up.
    Open,
    /// It went.
    Close,
}

impl Direction {
    /// The direction as it stands in answers and in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Open => "open",
            Self::Close => "close",
        }
    }
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// There are many of them: a few of each lot are shown, and the table gets none.
    Frequent,
    /// It goes into the table `events` too.
    Lasting,
}

/// What events of one lot have in common; they are sampled together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lot {
    /// What it is about.
    pub kind: Kind,
    /// Which way.
    pub direction: Direction,
    /// What became of it: a word, never a text of anybody's.
    pub outcome: Cow<'static, str>,
    /// How much it matters.
    pub weight: Weight,
}

/// What one event has for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The address, the provider's host, or the part's name.
    pub peer: Arc<str>,
    /// Bytes that went.
    pub bytes: usize,
    /// How long it took.
    pub took: Duration,
    /// The call that it belongs to.
    pub call: Option<CallId>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When (UTC, milliseconds).
    pub at: UtcMillis,
    /// What it is about.
    pub kind: Kind,
    /// Which way.
    pub direction: Direction,
    /// The address, the provider's host, or the part's name.
    pub peer: Arc<str>,
    /// Bytes that went.
    pub bytes: u64,
    /// Milliseconds that it took.
    pub ms: u64,
    /// What became of it.
    pub outcome: Cow<'static, str>,
    /// The call that it belongs to.
    #[serde(rename = "call_id", skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// How many events of the same kind, direction and outcome, at about the same time, this one stands for; itself among them.
    pub sampled: u64,
    /// How much it matters.
    #[serde(skip)]
    pub weight: Weight,
}

impl Event {
    /// The event of a lot that happened at `at`; it stands for itself.
    pub fn new(lot: &Lot, facts: Facts, at: UtcMillis) -> Self {
        let Facts { peer, bytes, took, call } = facts;
        Self {
            at,
            kind: lot.kind.clone(),
            direction: lot.direction,
            peer,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            outcome: lot.outcome.clone(),
            call,
            sampled: 1,
            weight: lot.weight,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
