//! What the connection monitor keeps.

use crate::clock::UtcMillis;
use crate::ids::CallId;
use uuid::Uuid;

/// What happened on a connection, as the table keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id, so that a batch that is written twice stands once.
    pub id: Uuid,
    /// When.
    pub at: UtcMillis,
    /// What it is about.
    pub kind: String,
    /// `in`, `out`, `open` or `close`.
    pub direction: &'static str,
    /// The address, the provider's host, or the part's name.
    pub peer: String,
    /// Bytes that went.
    pub bytes: i64,
    /// Milliseconds that it took.
    pub ms: i64,
    /// What became of it.
    pub outcome: String,
    /// The call that it belongs to.
    pub call: Option<CallId>,
    /// How many events it stands for.
    pub sampled: i64,
}
