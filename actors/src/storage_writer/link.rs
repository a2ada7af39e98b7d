//! The writer's own connection: made when it is needed, dropped when it fails. It knows no mailbox and no caller.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use tokio::task::JoinHandle;

use crate::storage::backend::{InlineSqlite, postgres, sqlite};
use crate::storage::connect::{self, OPERATION_WITHIN, Purpose};
use crate::storage::error::ConnectError;
use crate::storage::job::{Done, Down, Job};
use crate::storage::url::PostgresUrl;
use crate::storage::{Durability, Url};

/// SQLite takes its lock at the start, where waiting for it is harmless.
const SQLITE_BEGIN: &str = "BEGIN IMMEDIATE";
/// The usual isolation; the statements lock what they must.
const POSTGRES_BEGIN: &str = "BEGIN";

/// The connection and what is known of it.
pub(super) struct Link {
    url: Url,
    durability: Durability,
    state: State,
}

enum State {
    None,
    Sqlite(Box<SqliteFile>),
    Postgres(Box<AsyncPgConnection>),
    /// SQLite's thread did not come back in time. Until it does, another one would only wait behind it.
    Stuck(JoinHandle<()>),
}

impl Link {
    pub(super) fn new(url: Url, durability: Durability) -> Self {
        Self { url, durability, state: State::None }
    }

    /// The link itself; what stays is one without a connection.
    pub(super) fn take(&mut self) -> Self {
        let state = std::mem::replace(&mut self.state, State::None);
        Self { url: self.url.clone(), durability: self.durability, state }
    }

    /// Does a job.
    pub(super) async fn run(&mut self, job: Job) -> Done {
        let fresh = matches!(self.state, State::None | State::Stuck(_));
        let done = self.run_once(job.clone()).await;
        if !fresh && done.down.as_ref().is_some_and(|down| down.lost) {
            // An idle connection may have died unseen. Writing the same records a second time changes nothing.
            return self.run_once(job).await.after(&done);
        }
        done
    }

    /// The connection is made if there is none, and kept only if nothing is wrong with it.
    async fn run_once(&mut self, job: Job) -> Done {
        match (std::mem::replace(&mut self.state, State::None), self.url.clone()) {
            (State::Stuck(thread), _) if !thread.is_finished() => {
                self.state = State::Stuck(thread);
                Done::unavailable(
                    job.records(),
                    Down::because("the database file has not answered for a while"),
                )
            }
            (State::Sqlite(file), Url::Sqlite(path)) => self.run_sqlite(Some(file), path, job).await,
            (_, Url::Sqlite(path)) => self.run_sqlite(None, path, job).await,
            (State::Postgres(conn), Url::Postgres(url)) => self.run_postgres(Some(conn), url, job).await,
            (_, Url::Postgres(url)) => self.run_postgres(None, url, job).await,
        }
    }

    async fn run_sqlite(&mut self, open: Option<Box<SqliteFile>>, path: PathBuf, job: Job) -> Done {
        let (durability, records) = (self.durability, job.records());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let thread = tokio::task::spawn_blocking(move || {
            // Nobody listens any more when it took too long.
            drop(sender.send(on_thread(open, path, durability, &job)));
        });
        match tokio::time::timeout(OPERATION_WITHIN, receiver).await {
            Ok(Ok((file, done))) => {
                if let Some(file) = file {
                    self.state = State::Sqlite(file);
                }
                done
            }
            Ok(Err(_)) => Done::uncertain(records, Down::because("the thread of the database file panicked")),
            Err(_) => {
                self.state = State::Stuck(thread);
                Done::uncertain(records, Down::because("the database file does not answer"))
            }
        }
    }

    async fn run_postgres(
        &mut self,
        open: Option<Box<AsyncPgConnection>>,
        url: PostgresUrl,
        job: Job,
    ) -> Done {
        let conn = match open {
            Some(conn) => conn,
            None => match connect::postgres(&url, Purpose::Write(self.durability)).await {
                Ok(conn) => Box::new(conn),
                Err(error) => return Done::unavailable(job.records(), Down::from(&error)),
            },
        };
        let done = postgres::batch::run(&mut &*conn, POSTGRES_BEGIN, &job).await;
        if done.down.is_none() {
            self.state = State::Postgres(conn);
        }
        done
    }
}

/// An open SQLite file.
struct SqliteFile {
    conn: InlineSqlite,
    /// A file that was replaced would take our writes and keep them from everyone.
    identity: (u64, u64),
}

/// Device and inode of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn open_sqlite(path: &Path, durability: Durability) -> Result<Box<SqliteFile>, ConnectError> {
    let conn = connect::sqlite(path, Purpose::Write(durability))?;
    // Looked up after the opening: if the file is replaced in between, the next job notices.
    let identity = identity(path).unwrap_or_default();
    Ok(Box::new(SqliteFile { conn: InlineSqlite::new(conn), identity }))
}

/// Does a job on a thread that may block.
fn on_thread(
    open: Option<Box<SqliteFile>>,
    path: PathBuf,
    durability: Durability,
    job: &Job,
) -> (Option<Box<SqliteFile>>, Done) {
    let still_there = open.filter(|file| identity(&path) == Some(file.identity));
    let opened = match still_there {
        Some(file) => Ok(file),
        None => open_sqlite(&path, durability),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => return (None, Done::unavailable(job.records(), Down::from(&error))),
    };
    // Every future of an inline connection is ready at once.
    let Some(done) = sqlite::batch::run(&mut file.conn, SQLITE_BEGIN, job).now_or_never() else {
        return (
            None,
            Done::uncertain(job.records(), Down::because("a write to the database file was not run through")),
        );
    };
    (done.down.is_none().then_some(file), done)
}
