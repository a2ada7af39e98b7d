//! Brings a database to this binary's schema, before any actor runs. It never goes back, and never touches a database that it
//! does not recognize.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::result::Error as QueryError;
use futures_util::FutureExt;
use sha2::{Digest, Sha256};

use super::backend::{InlineSqlite, postgres, sqlite};
use super::connect::{self, Purpose};
use super::error::ConnectError;
use super::url::{PostgresUrl, Url};
use crate::clock;

/// One migration.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

const SQLITE: &[Migration] = &[
    Migration { name: "0001_initial", sql: include_str!("../../../migrations/sqlite/0001_initial/up.sql") },
    Migration { name: "0002_recovery", sql: include_str!("../../../migrations/sqlite/0002_recovery/up.sql") },
    Migration { name: "0003_events", sql: include_str!("../../../migrations/sqlite/0003_events/up.sql") },
    Migration { name: "0004_lives", sql: include_str!("../../../migrations/sqlite/0004_lives/up.sql") },
];
const POSTGRES: &[Migration] = &[
    Migration { name: "0001_initial", sql: include_str!("../../../migrations/postgres/0001_initial/up.sql") },
    Migration {
        name: "0002_recovery",
        sql: include_str!("../../../migrations/postgres/0002_recovery/up.sql"),
    },
    Migration { name: "0003_events", sql: include_str!("../../../migrations/postgres/0003_events/up.sql") },
    Migration { name: "0004_lives", sql: include_str!("../../../migrations/postgres/0004_lives/up.sql") },
];

/// Locks the whole file against other processes until the commit.
const SQLITE_BEGIN: &str = "BEGIN EXCLUSIVE";
/// The number is `exai` in ASCII; the lock ends with the transaction.
const POSTGRES_BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(1702388073)";
/// How long one process waits for another that is migrating.
const LOCK_WITHIN: Duration = Duration::from_secs(60);
/// The wait between two tries to get SQLite's lock.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The migrations that were applied just now; empty when the schema was up to date.
    pub applied: Vec<&'static str>,
    /// The newest migration that the database has.
    pub version: &'static str,
}

/// A database that was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The folder of the SQLite file cannot be made.
    #[error("cannot create the folder {folder} for the database; create it, or set storage.url to another place", folder = folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No connection.
    #[error("cannot connect to the database to migrate it; check storage.url and that the server runs")]
    Connect(#[from] ConnectError),
    /// The text of an applied migration is not the one in this binary.
    #[error(
        "migration {name} was applied to this database with another text than this release has; run the release that applied it, or restore a backup"
    )]
    Checksum {
        /// The migration.
        name: String,
    },
    /// The database has a migration that this binary does not know.
    #[error(
        "the database has migration {name}, which this release does not know: it was written by a newer release; run that one, or restore the backup from before the upgrade"
    )]
    Newer {
        /// The migration.
        name: String,
    },
    /// A migration failed; nothing of it stands.
    #[error("migration {name} failed and was rolled back; nothing was changed")]
    Failed {
        /// The migration, or the step around them.
        name: &'static str,
        /// What the database said.
        #[source]
        source: QueryError,
    },
    /// Another process kept the lock.
    #[error("another process has been migrating this database for {0:?}; wait for it, or end it")]
    Locked(Duration),
    /// The thread or runtime for the migration could not be started, or panicked.
    #[error("the migration could not be run on a thread of its own")]
    Thread,
}

/// Lock, compare, apply, commit: one text for both databases.
macro_rules! apply_all {
    ($backend:ident, $conn:expr, $begin:expr, $known:expr) => {{
        let (conn, known): (_, &'static [Migration]) = ($conn, $known);
        $backend::migrate::run(conn, $begin).await.map_err(failed("lock"))?;
        let applied = $backend::migrate::applied(conn).await.map_err(failed("list"))?;
        let applied = applied.into_iter().map(|row| (row.name, row.checksum)).collect::<Vec<_>>();
        let pending = pending(known, &applied)?;
        for migration in &pending {
            let name = migration.name;
            $backend::migrate::run(conn, migration.sql).await.map_err(failed(name))?;
            $backend::migrate::note(conn, name, &checksum(migration.sql), clock::utc_now().0)
                .await
                .map_err(failed(name))?;
        }
        // An error above drops the connection, and with it the transaction.
        $backend::migrate::run(conn, "COMMIT").await.map_err(failed("commit"))?;
        Ok(Migrated {
            applied: pending.iter().map(|migration| migration.name).collect(),
            version: known.last().map_or("", |migration| migration.name),
        })
    }};
}
/// Brings the database at `url` to this binary's schema. It blocks: call it before the actor system runs. The folder of a SQLite
/// file is made (mode 0700) when it is missing.
pub fn migrate(url: &Url) -> Result<Migrated, MigrateError> {
    match url {
        Url::Sqlite(path) => migrate_sqlite(path),
        // A thread of its own, so that a caller inside a runtime may call this too.
        Url::Postgres(url) => std::thread::scope(|scope| {
            scope.spawn(|| migrate_postgres(url)).join().unwrap_or(Err(MigrateError::Thread))
        }),
    }
}

/// Which migrations the database at `url` lacks, or why this binary refuses it. Changes nothing, and waits for nobody longer than one
/// operation may take. It blocks; a SQLite file that is not there is not made, but reading it fails.
pub fn inspect(url: &Url) -> Result<Vec<&'static str>, MigrateError> {
    macro_rules! look {
        ($backend:ident, $conn:expr, $begin:expr, $known:expr) => {{
            let (conn, known): (_, &'static [Migration]) = ($conn, $known);
            $backend::migrate::run(conn, $begin).await.map_err(failed("lock"))?;
            let applied = $backend::migrate::applied(conn).await.map_err(failed("list"))?;
            $backend::migrate::run(conn, "ROLLBACK").await.map_err(failed("rollback"))?;
            let applied = applied.into_iter().map(|row| (row.name, row.checksum)).collect::<Vec<_>>();
            Ok(pending(known, &applied)?.iter().map(|migration| migration.name).collect())
        }};
    }
    match url {
        Url::Sqlite(path) => {
            let mut conn = InlineSqlite::new(connect::sqlite(path, Purpose::Migrate)?);
            let looking = async { look!(sqlite, &mut conn, SQLITE_BEGIN, SQLITE) };
            looking.now_or_never().unwrap_or(Err(MigrateError::Thread))
        }
        Url::Postgres(url) => std::thread::scope(|scope| {
            let look = || {
                on_a_runtime(async {
                    let conn = connect::postgres(url, Purpose::Migrate).await?;
                    let looking = async { look!(postgres, &mut &conn, POSTGRES_BEGIN, POSTGRES) };
                    match tokio::time::timeout(connect::OPERATION_WITHIN, looking).await {
                        Ok(outcome) => outcome,
                        Err(_) => Err(MigrateError::Locked(connect::OPERATION_WITHIN)),
                    }
                })
            };
            scope.spawn(look).join().unwrap_or(Err(MigrateError::Thread))
        }),
    }
}

fn on_a_runtime<T>(work: impl Future<Output = Result<T, MigrateError>>) -> Result<T, MigrateError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|_| MigrateError::Thread)?.block_on(work)
}

fn migrate_sqlite(path: &Path) -> Result<Migrated, MigrateError> {
    make_folder(path)?;
    let until = clock::now() + LOCK_WITHIN;
    loop {
        match try_migrate_sqlite(path) {
            Err(MigrateError::Failed { source, .. })
            | Err(MigrateError::Connect(ConnectError::Settings(source)))
                if is_locked(&source) =>
            {
                if clock::now() >= until {
                    return Err(MigrateError::Locked(LOCK_WITHIN));
                }
                std::thread::sleep(LOCK_RETRY);
            }
            outcome => return outcome,
        }
    }
}

/// Whether SQLite says that another process holds its lock. The change to a write-ahead log does not wait for it by itself.
fn is_locked(error: &QueryError) -> bool {
    matches!(error, QueryError::DatabaseError(_, info) if info.message().contains("database is locked"))
}

fn try_migrate_sqlite(path: &Path) -> Result<Migrated, MigrateError> {
    let connection = connect::sqlite(path, Purpose::Migrate)?;
    let mut conn = InlineSqlite::new(connection);
    let migrating = async { apply_all!(sqlite, &mut conn, SQLITE_BEGIN, SQLITE) };
    // Every future of an inline connection is ready at once.
    migrating.now_or_never().unwrap_or(Err(MigrateError::Thread))
}

fn migrate_postgres(url: &PostgresUrl) -> Result<Migrated, MigrateError> {
    on_a_runtime(async {
        let conn = connect::postgres(url, Purpose::Migrate).await?;
        let migrating = async { apply_all!(postgres, &mut &conn, POSTGRES_BEGIN, POSTGRES) };
        match tokio::time::timeout(LOCK_WITHIN, migrating).await {
            Ok(outcome) => outcome,
            Err(_) => Err(MigrateError::Locked(LOCK_WITHIN)),
        }
    })
}

fn failed(name: &'static str) -> impl FnOnce(QueryError) -> MigrateError {
    move |source| MigrateError::Failed { name, source }
}

/// What is still to be applied, or why nothing may be.
fn pending(
    known: &'static [Migration],
    applied: &[(String, String)],
) -> Result<Vec<&'static Migration>, MigrateError> {
    for (name, applied_checksum) in applied {
        let Some(migration) = known.iter().find(|migration| migration.name == name) else {
            return Err(MigrateError::Newer { name: name.clone() });
        };
        if checksum(migration.sql) != *applied_checksum {
            return Err(MigrateError::Checksum { name: name.clone() });
        }
    }
    Ok(known.iter().filter(|migration| applied.iter().all(|(name, _)| name != migration.name)).collect())
}

fn checksum(sql: &str) -> String {
    Sha256::digest(sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make_folder(file: &Path) -> Result<(), MigrateError> {
    use std::os::unix::fs::DirBuilderExt;
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| MigrateError::Folder { folder: folder.to_owned(), source }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
