//! The reads of operators: whatever they browse, of every principal.

use futures_util::FutureExt;

use super::super::backend::{postgres, sqlite};
use super::super::error::StorageError;
use super::super::rows::history::{
    Browse, CallStory, ConversationSeen, ObservationSeen, RollupSeen, TurnSeen,
};
use super::{DatabasePool, Lease, Store, no_connection};
use crate::clock::UtcMillis;
use crate::ids::{CallId, ConversationId};

/// A day, in milliseconds.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Store {
    /// US dollars that upstream requests have cost on the day (UTC) of this moment so far, as far as prices are known.
    pub async fn cost_of_day(&self, now: UtcMillis) -> Result<f64, StorageError> {
        let midnight = UtcMillis(now.0 - now.0.rem_euclid(DAY_MS));
        read!(self, history::cost_since(midnight))
    }

    /// The conversations that spoke last.
    pub async fn browse_conversations(&self, browse: Browse) -> Result<Vec<ConversationSeen>, StorageError> {
        read!(self, history::conversations(browse))
    }

    /// What was said in a conversation, the newest turns of a long one, oldest first.
    pub async fn read_turns(&self, conversation: ConversationId) -> Result<Vec<TurnSeen>, StorageError> {
        read!(self, history::turns(conversation))
    }

    /// One call with its upstream requests.
    pub async fn call_story(&self, call: CallId) -> Result<Option<CallStory>, StorageError> {
        read!(self, history::story(call))
    }

    /// What the auditor saw last, newest first.
    pub async fn observations(&self, limit: u16) -> Result<Vec<ObservationSeen>, StorageError> {
        read!(self, acknowledge::observations(limit))
    }

    /// The rollups since then, oldest first; of minutes, or of hours.
    pub async fn rollups(&self, since: UtcMillis, by_hour: bool) -> Result<Vec<RollupSeen>, StorageError> {
        read!(self, history::rollups(since, by_hour))
    }
}
