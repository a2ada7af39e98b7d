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

/// Lets the statements say `Conn<'_>` for both: on Postgres it is a reference, on SQLite the lifetime means nothing.
pub(crate) trait Family {
    type Conn<'a>;
}

impl Family for Inline {
    type Conn<'a> = InlineSqlite;
}

/// The statements on SQLite.
#[expect(clippy::duplicate_mod, reason = "one text for two databases; see the head of this file")]
#[path = "statements"]
pub(crate) mod sqlite {
    use crate::storage::error::Refusal;
    use crate::storage::job::Rules;
    use crate::storage::rows::Rollup;
    use crate::storage_writer::messages::{Record, Written};

    type Conn<'a> = <super::Inline as super::Family>::Conn<'a>;
    type Db = diesel::sqlite::Sqlite;

    pub(crate) mod acknowledge;
    pub(crate) mod batch;
    pub(crate) mod books;
    mod events;
    pub(crate) mod history;
    pub(crate) mod lives;
    pub(crate) mod migrate;
    mod open;
    pub(crate) mod read;
    mod rollup;
    mod sweep;
    pub(crate) mod write;

    /// Writes records one by one: each is a call into a library, and takes microseconds.
    async fn wave(conn: &mut Conn<'_>, records: &[Record], rules: Rules) -> Result<Vec<Written>, Refusal> {
        let mut written = Vec::with_capacity(records.len());
        for record in records {
            written.push(write::record(conn, record, rules).await?);
        }
        Ok(written)
    }

    async fn rollups(conn: &mut Conn<'_>, rows: &[Rollup]) -> Result<(), Refusal> {
        for row in rows {
            rollup::rollup(conn, row).await?;
        }
        Ok(())
    }
}

/// The statements on Postgres.
#[expect(clippy::duplicate_mod, reason = "one text for two databases; see the head of this file")]
#[path = "statements"]
pub(crate) mod postgres {
    use diesel_async::AsyncPgConnection;
    use futures_util::future::join_all;

    use crate::storage::error::{Blame, Refusal};
    use crate::storage::job::Rules;
    use crate::storage::rows::Rollup;
    use crate::storage_writer::messages::{Record, Written};

    /// A shared reference, so that statements can be sent without waiting for the answers to those before them.
    type Conn<'a> = &'a AsyncPgConnection;
    type Db = diesel::pg::Pg;

    pub(crate) mod acknowledge;
    pub(crate) mod batch;
    pub(crate) mod books;
    mod events;
    pub(crate) mod history;
    pub(crate) mod lives;
    pub(crate) mod migrate;
    mod open;
    pub(crate) mod read;
    mod rollup;
    mod sweep;
    pub(crate) mod write;

    /// Writes records that do not depend on one another all at once: a batch then costs the round trips of its longest record and
    /// not of all its records, which decides whether a server 20 ms away can be used.
    async fn wave(conn: &mut Conn<'_>, records: &[Record], rules: Rules) -> Result<Vec<Written>, Refusal> {
        let writes = records.iter().map(|record| {
            let mut conn = *conn;
            async move { write::record(&mut conn, record, rules).await }
        });
        let mut written = Vec::with_capacity(records.len());
        let mut refused: Option<Refusal> = None;
        for outcome in join_all(writes).await {
            match outcome {
                Ok(one) => written.push(one),
                // The statements behind the first refused one fail for its sake alone and say nothing of their own.
                Err(refusal) => {
                    if refused.as_ref().is_none_or(|before| before.blame() == Blame::Unclear) {
                        refused = Some(refusal);
                    }
                }
            }
        }
        refused.map_or(Ok(written), Err)
    }
    /// All at once, like a wave: no two rows of a batch are of one window and metric.
    async fn rollups(conn: &mut Conn<'_>, rows: &[Rollup]) -> Result<(), Refusal> {
        let writes = rows.iter().map(|row| {
            let mut conn = *conn;
            async move { rollup::rollup(&mut conn, row).await }
        });
        join_all(writes).await.into_iter().collect()
    }
}
