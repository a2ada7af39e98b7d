//! The read side: a handle that anyone may clone, over one pool of connections. It writes nothing and waits for no mailbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, Pool, PoolError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use futures_util::FutureExt;

use super::Url;
use super::backend::{InlineSqlite, postgres, sqlite};
use super::browse::{Asked, Summary, Told};
use super::connect::{self, OPERATION_WITHIN, Purpose};
use super::error::{ConnectError, StorageError, in_words};
use super::rows::{Books, EndedLife, Life, StoredCall, Thread};
use crate::clock::{self, UtcMillis};
use crate::health::{HealthBoard, Status};
use crate::ids::{CallId, ConversationId, IdempotencyKey, Principal};
use silence::{IN_VAIN_AFTER, Silence};

/// The name of the reads on the health board.
pub const READS_COMPONENT: &str = "storage_reads";
/// The most turns that one load may ask for; the prompt holds 50.
const TURNS_MAX: usize = 1000;

/// Reads from the database. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Store {
    pool: DatabasePool,
    /// A connection for pings alone: one that waits behind slow reads would call the database silent.
    pings: DatabasePool,
    board: HealthBoard,
    well: Arc<AtomicBool>,
    silence: Arc<Silence>,
    within: Duration,
}

#[derive(Clone)]
enum DatabasePool {
    Sqlite(Pool<InlineSqlite>),
    Postgres(Pool<AsyncPgConnection>),
}

/// Runs one read, unless the database is silent.
macro_rules! read {
    ($store:expr, $($query:tt)*) => {
        if $store.silence.is_known() { Err(StorageError::Silent) } else { ask!(pool of $store, $($query)*) }
    };
}

/// Runs one read on a connection of whichever database it is: one text, expanded for both.
macro_rules! ask {
    ($pool:ident of $store:expr, $module:ident::$read:ident($($argument:ident),*)) => {
        match &$store.$pool {
            DatabasePool::Sqlite(pool) => {
                let read = async {
                    let mut conn = pool.get().await.map_err(no_connection)?;
                    // The connection goes with the work: a caller that no longer waits leaves no connection half in use.
                    let work = move || sqlite::$module::$read(&mut conn, $($argument),*).now_or_never();
                    match tokio::task::spawn_blocking(work).await {
                        Ok(Some(outcome)) => outcome,
                        Ok(None) | Err(_) => Err(StorageError::Closed),
                    }
                };
                $store.bounded(read.boxed()).await
            }
            DatabasePool::Postgres(pool) => {
                let read = async {
                    let mut lease = Lease(Some(pool.get().await.map_err(no_connection)?));
                    let Some(conn) = lease.0.as_mut() else { return Err(StorageError::Closed) };
                    let outcome = postgres::$module::$read(&mut &**conn, $($argument),*).boxed().await;
                    lease.give_back();
                    outcome
                };
                $store.bounded(read.boxed()).await
            }
        }
    };
}

mod history;
mod silence;

impl DatabasePool {
    fn new(url: &Url, size: usize) -> Result<Self, StorageError> {
        let pool = match url.clone() {
            Url::Sqlite(path) => {
                let mut config = ManagerConfig::default();
                config.recycling_method = RecyclingMethod::Fast;
                config.custom_setup = Box::new(move |_| {
                    let path = path.clone();
                    async move {
                        let opening = move || connect::sqlite(&path, Purpose::Read);
                        let opened = tokio::task::spawn_blocking(opening).await;
                        let opened = opened.map_err(|_| ConnectError::TimedOut(OPERATION_WITHIN))??;
                        Ok(InlineSqlite::new(opened))
                    }
                    .boxed()
                });
                let manager = AsyncDieselConnectionManager::new_with_config("", config);
                Pool::builder(manager).max_size(size).build().map(Self::Sqlite)
            }
            Url::Postgres(url) => {
                let mut config = ManagerConfig::default();
                // A closed connection is seen without asking the server.
                config.recycling_method = RecyclingMethod::Fast;
                config.custom_setup = Box::new(move |_| {
                    let url = url.clone();
                    async move { Ok(connect::postgres(&url, Purpose::Read).await?) }.boxed()
                });
                let manager = AsyncDieselConnectionManager::new_with_config("", config);
                Pool::builder(manager).max_size(size).build().map(Self::Postgres)
            }
        };
        pool.map_err(|_| StorageError::Closed)
    }
}

impl Store {
    /// Makes the handle. No connection is made before the first read. `pool_size` is the most connections that reads use at once;
    /// pings have one more.
    pub fn open(url: &Url, pool_size: usize, board: HealthBoard) -> Result<Self, StorageError> {
        let (pool, pings) = (DatabasePool::new(url, pool_size)?, DatabasePool::new(url, 1)?);
        let (well, silence) = (Arc::new(AtomicBool::new(true)), Arc::default());
        Ok(Self { pool, pings, board, well, silence, within: OPERATION_WITHIN })
    }

    /// Loads a conversation of this principal with its newest turns, oldest first, in one query. A conversation of someone else
    /// is not found, like one that does not exist.
    pub async fn load_thread(
        &self,
        principal: &Principal,
        conversation: ConversationId,
        turns_max: usize,
    ) -> Result<Option<Thread>, StorageError> {
        let turns_max = i64::try_from(turns_max.min(TURNS_MAX)).unwrap_or(0);
        let principal = principal.clone();
        read!(self, read::thread(principal, conversation, turns_max))
    }

    /// The conversations of this principal, newest first.
    pub async fn conversations(
        &self,
        principal: &Principal,
        asked: Asked,
    ) -> Result<Vec<Summary>, StorageError> {
        let principal = principal.clone();
        read!(self, read::summaries(principal, asked))
    }

    /// A conversation of this principal, with at most `count_max` of its turns before turn `before`, newest first, each cut to
    /// `chars_max` characters. Someone else's is not found, like one that does not exist.
    pub async fn conversation(
        &self,
        principal: &Principal,
        id: ConversationId,
        before: i32,
        (count_max, chars_max): (i64, i32),
    ) -> Result<Option<(Summary, Vec<Told>)>, StorageError> {
        let principal = principal.clone();
        let Some(summary) = read!(self, read::conversation(principal, id))? else { return Ok(None) };
        let told = read!(self, read::told(id, before, count_max, chars_max))?;
        Ok(Some((summary, told)))
    }

    /// Loads a call of this principal.
    pub async fn load_call(
        &self,
        principal: &Principal,
        call: CallId,
    ) -> Result<Option<StoredCall>, StorageError> {
        let principal = principal.clone();
        read!(self, read::call(principal, call))
    }

    /// Loads the call to which this principal gave this key.
    pub async fn load_call_by_key(
        &self,
        principal: &Principal,
        key: &IdempotencyKey,
    ) -> Result<Option<StoredCall>, StorageError> {
        let (principal, key) = (principal.clone(), key.clone());
        read!(self, read::call_by_key(principal, key))
    }

    /// Counts what stands of one life of a replica, since it began.
    pub async fn books(&self, replica: &str, since: UtcMillis, life: &str) -> Result<Books, StorageError> {
        let (replica, life) = (replica.to_owned(), life.to_owned());
        read!(self, books::books(replica, since, life))
    }

    /// The lives of these replicas, whose processes had ended when `own` began, that are not closed in the flush log. Whoever has a
    /// replica since then has begun later.
    pub async fn unclosed_lives(
        &self,
        replicas: &[String],
        own: &Life,
        began: UtcMillis,
    ) -> Result<Vec<EndedLife>, StorageError> {
        let (replicas, own) = (replicas.to_vec(), own.id.clone());
        read!(self, lives::unclosed(replicas, own, began))
    }

    /// Asks whether the database answers, be it silent or not.
    pub async fn ping(&self) -> Result<(), StorageError> {
        ask!(pings of self, read::ping())
    }

    /// Ends a read that takes too long, and tells the board when the reads begin or cease to work.
    async fn bounded<T>(
        &self,
        read: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let asked = clock::now();
        let outcome = match tokio::time::timeout(self.within, read).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StorageError::TimedOut(self.within)),
        };
        let well = outcome.is_ok();
        if self.well.swap(well, Ordering::Relaxed) != well {
            let (status, detail) = match &outcome {
                Ok(_) => (Status::Ok, String::new()),
                Err(error) => (Status::Down, in_words(error)),
            };
            self.board.set(READS_COMPONENT, status, detail, clock::utc_now());
        }
        if !well && clock::now() - asked >= IN_VAIN_AFTER {
            self.silence.suspect(self);
        }
        outcome
    }
}

/// A Postgres connection while a read runs on it. A read that is given up takes its connection along: what the server would still
/// send belongs to nobody, and a server that hangs must not fill the pool with its silence.
struct Lease(Option<Object<AsyncPgConnection>>);

impl Lease {
    fn give_back(&mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

fn no_connection(error: PoolError) -> StorageError {
    match error {
        PoolError::Backend(diesel_async::pooled_connection::PoolError::ConnectionError(source)) => {
            StorageError::Connect(ConnectError::Refused(source))
        }
        PoolError::Backend(diesel_async::pooled_connection::PoolError::QueryError(source)) => {
            StorageError::Query { operation: "answer when its connection was taken up", source }
        }
        PoolError::Timeout(_)
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(_) => StorageError::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send<T: Send>(value: T) -> T {
        value
    }

    #[tokio::test]
    async fn a_read_may_be_awaited_on_any_thread() {
        let url = Url::sqlite("/nowhere/at/all.db");
        let store = Store::open(&url, 1, HealthBoard::default()).unwrap();
        let read = send(store.load_thread(&Principal::from("ann"), ConversationId::mint(), 1)).await;
        assert!(matches!(read, Err(StorageError::Connect(_))));
        assert_eq!(store.board.get(READS_COMPONENT).map(|reads| reads.status), Some(Status::Down));
    }
}
