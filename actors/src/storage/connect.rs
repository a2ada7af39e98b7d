//! Opens connections, the same way for reads, writes and migrations. Nothing here creates a database except for migrations.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

use super::Durability;
use super::error::ConnectError;
use super::tls;
use super::url::{PostgresUrl, TlsMode};

/// How long a connection may take to come about.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long any one operation on a connection may take, a whole batch included.
pub(crate) const OPERATION_WITHIN: Duration = Duration::from_secs(5);
/// How long SQLite waits for another process's lock. Less than [`OPERATION_WITHIN`], so that the wait ends by itself.
const BUSY_WITHIN: Duration = Duration::from_secs(3);
/// The size to which SQLite cuts its write-ahead log back after a checkpoint, in bytes.
const WAL_BYTES_KEPT: u64 = 64 << 20;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reads alone; SQLite refuses a write on it.
    Read,
    /// Writes.
    Write(Durability),
    /// Migrations: the one purpose that creates a SQLite file.
    Migrate,
}

/// Opens a SQLite file. It blocks; call it where that is allowed.
///
/// The settings: write-ahead log, so that readers and the writer do not wait for one another; `synchronous=FULL` fsyncs the log at
/// each commit (a power cut loses nothing that was acknowledged), `NORMAL` only at checkpoints (a killed process loses nothing,
/// for the log is in the system's page cache; a power cut may lose the last commits, never the file's integrity); foreign keys,
/// which SQLite forgets to enforce on every new connection; a bounded wait for the locks of other processes; no temporary files, for which
/// a container with a read-only root has no place.
pub(crate) fn sqlite(path: &Path, purpose: Purpose) -> Result<SqliteConnection, ConnectError> {
    let mode = match purpose {
        Purpose::Read | Purpose::Write(_) => "rw",
        Purpose::Migrate => "rwc",
    };
    let mut settings = format!(
        "PRAGMA busy_timeout = {}; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = {WAL_BYTES_KEPT}; \
         PRAGMA temp_store = MEMORY;",
        BUSY_WITHIN.as_millis()
    );
    settings.push_str(match purpose {
        Purpose::Read => "PRAGMA query_only = ON;",
        Purpose::Write(Durability::Power) => "PRAGMA synchronous = FULL;",
        Purpose::Write(Durability::Process) => "PRAGMA synchronous = NORMAL;",
        // The log's mode is kept in the file: setting it once, where the file is made, is enough.
        Purpose::Migrate => "PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL;",
    });
    let path = path.to_str().ok_or(ConnectError::Path)?;
    let mut connection = SqliteConnection::establish(&file_uri(path, mode)).map_err(ConnectError::Refused)?;
    connection.batch_execute(&settings).map_err(ConnectError::Settings)?;
    Ok(connection)
}

/// SQLite's own URI form (sqlite.org/uri.html). `mode=rw` is the point: a file that is gone must be an error, not a new and empty
/// database.
fn file_uri(path: &str, mode: &str) -> String {
    let mut uri = String::from("file:");
    if path.starts_with("//") {
        // Two slashes at the start would begin an authority.
        uri.push_str("//");
    }
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => write!(uri, "%{byte:02X}").unwrap_or_default(),
        }
    }
    uri.push_str("?mode=");
    uri.push_str(mode);
    uri
}

/// Connects to Postgres, at most for [`CONNECT_WITHIN`].
///
/// The settings: `synchronous_commit` on (flushed to disk before the acknowledgement) or off (a crash of the *server* may lose the
/// last fraction of a second; a crash of this process loses nothing); and the server's own timeouts a little above ours, so that
/// what we gave up on ends there too.
pub(crate) async fn postgres(url: &PostgresUrl, purpose: Purpose) -> Result<AsyncPgConnection, ConnectError> {
    let connecting = async {
        let mut config = url.plain.parse::<tokio_postgres::Config>().map_err(ConnectError::Postgres)?;
        if config.get_application_name().is_none() {
            config.application_name("exai");
        }
        config.ssl_mode(match url.tls {
            TlsMode::Disable => tokio_postgres::config::SslMode::Disable,
            TlsMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        let mut connection = match tls::connector(url)? {
            Some(connector) => {
                let (client, driver) = config.connect(connector).await.map_err(ConnectError::Postgres)?;
                AsyncPgConnection::try_from_client_and_connection(client, driver).await
            }
            None => {
                let (client, driver) =
                    config.connect(tokio_postgres::NoTls).await.map_err(ConnectError::Postgres)?;
                AsyncPgConnection::try_from_client_and_connection(client, driver).await
            }
        }
        .map_err(ConnectError::Refused)?;
        connection.batch_execute(&postgres_settings(purpose)).await.map_err(ConnectError::Settings)?;
        Ok(connection)
    };
    match tokio::time::timeout(CONNECT_WITHIN, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::TimedOut(CONNECT_WITHIN)),
    }
}

fn postgres_settings(purpose: Purpose) -> String {
    let timeouts = format!(
        "SET statement_timeout = {0}; SET idle_in_transaction_session_timeout = {0};",
        OPERATION_WITHIN.as_millis() + 1000
    );
    match purpose {
        Purpose::Read => format!("{timeouts} SET default_transaction_read_only = on;"),
        Purpose::Write(Durability::Power) => format!("{timeouts} SET synchronous_commit = on;"),
        Purpose::Write(Durability::Process) => format!("{timeouts} SET synchronous_commit = off;"),
        // A migration may take its time, and may wait for another process that migrates.
        Purpose::Migrate => String::from("SET synchronous_commit = on;"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_path_and_nothing_else() {
        assert_eq!(file_uri("a b?mode=memory#x.db", "rw"), "file:a%20b%3Fmode%3Dmemory%23x.db?mode=rw");
        assert_eq!(file_uri("//abs/x.db", "rw"), "file:////abs/x.db?mode=rw");
    }

    #[test]
    fn a_missing_file_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone.db");
        assert!(sqlite(&path, Purpose::Write(Durability::Power)).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn nothing_is_written_beside_the_file() {
        #[derive(diesel::QueryableByName)]
        struct Setting {
            #[diesel(sql_type = diesel::sql_types::Integer)]
            temp_store: i32,
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exai.db");
        for purpose in [Purpose::Migrate, Purpose::Read, Purpose::Write(Durability::Process)] {
            let mut connection = sqlite(&path, purpose).unwrap();
            let setting = diesel::sql_query("PRAGMA temp_store");
            let setting = diesel::RunQueryDsl::get_result::<Setting>(setting, &mut connection);
            assert_eq!(setting.unwrap().temp_store, 2, "memory, for {purpose:?}");
        }
    }
}
