//! The two databases. Each statement is written once, in `statements/`, and compiled twice: `Conn` is the connection of the module
//! that includes it. A function generic over diesel's backends would need a page of bounds for each query.

use std::error::Error;

use diesel::SqliteConnection;
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use futures_util::future::{self, BoxFuture, FutureExt};

/// Runs SQLite's work at once, on the calling thread, which must be one that may block: then a batch is one blocking task instead
/// of one per statement, and its futures are ready at the first poll.
#[derive(Debug)]
pub(crate) struct Inline;

impl SpawnBlocking for Inline {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        future::ready(Ok(task())).boxed()
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// SQLite on a thread that may block.
pub(crate) type InlineSqlite = SyncConnectionWrapper<SqliteConnection, Inline>;

/// The statements on SQLite.
#[expect(clippy::duplicate_mod, reason = "one text for two databases; see the head of this file")]
#[path = "statements"]
pub(crate) mod sqlite {
    type Conn = super::InlineSqlite;

    pub(crate) mod batch;
    pub(crate) mod migrate;
    pub(crate) mod read;
    pub(crate) mod write;
}

/// The statements on Postgres.
#[expect(clippy::duplicate_mod, reason = "one text for two databases; see the head of this file")]
#[path = "statements"]
pub(crate) mod postgres {
    type Conn = diesel_async::AsyncPgConnection;

    pub(crate) mod batch;
    pub(crate) mod migrate;
    pub(crate) mod read;
    pub(crate) mod write;
}
