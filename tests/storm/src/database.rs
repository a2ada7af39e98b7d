//! The database, looked into behind the daemon's back: the rows of `calls` and `attempts`, and nothing else.

use std::io;
use std::path::PathBuf;

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};
use tokio_postgres::NoTls;

/// Which database.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// An address of a database on a server.
    Postgres(String),
}

/// One row of `calls`.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct CallRow {
    /// Its id.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// The idempotency key that it has now.
    #[diesel(sql_type = Nullable<Text>)]
    pub key: Option<String>,
    /// Its state.
    #[diesel(sql_type = Text)]
    pub state: String,
    /// The answer.
    #[diesel(sql_type = Nullable<Text>)]
    pub result: Option<String>,
}

/// One row of `attempts`.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct AttemptRow {
    /// Its call.
    #[diesel(sql_type = Text)]
    pub call: String,
    /// 1, 2, 3.
    #[diesel(sql_type = Integer)]
    pub n: i32,
    /// Its state.
    #[diesel(sql_type = Text)]
    pub state: String,
    /// The HTTP status, when there was one.
    #[diesel(sql_type = Nullable<Integer>)]
    pub status: Option<i32>,
}

const CALLS: &str = "SELECT id, idempotency_key AS key, state, result FROM calls WHERE id > $1 ORDER BY id";
const ATTEMPTS: &str =
    "SELECT call_id AS call, n, state, status FROM attempts WHERE call_id > $1 ORDER BY call_id, n";
const NEWEST: &str = "SELECT COALESCE(MAX(id), '') AS t FROM calls";
const OPEN: &str =
    "SELECT (SELECT count(*) FROM calls WHERE state IN ('accepted', 'dispatched', 'streaming'))
     + (SELECT count(*) FROM attempts WHERE state = 'dispatched') AS n";
/// A completed call has its question and its answer in its conversation, once each.
const TORN: &str = "SELECT id AS t FROM calls WHERE id > $1 AND state = 'completed' AND tool = 'chat'
     AND (SELECT count(*) FROM messages WHERE messages.call_id = calls.id) <> 2";

/// Calls that are in the journal, and in neither the rollups nor the log of what rollups lack; and those whose end the database did not
/// take in time, which may be in the rollups alone.
const UNACCOUNTED: &str = r#"SELECT
    (SELECT COUNT(*) FROM calls WHERE state IN ('completed', 'failed', 'cancelled')
        AND (error IS NULL
            OR error NOT LIKE '{"kind":"storage_unavailable"%' AND error NOT LIKE '{"kind":"draining"%'))
    - (SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM metrics_1hour WHERE metric = 'exai_calls_total'
        AND labels NOT LIKE '%"outcome":"refused%' AND labels NOT LIKE '%"outcome":"replayed"%'
        AND labels NOT LIKE '%"outcome":"draining"%' AND labels NOT LIKE '%"outcome":"storage_unavailable"%')
    - (SELECT COALESCE(SUM(batch_size), 0) FROM metrics_flush_log WHERE status = 'lost') AS n,
    (SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM metrics_1hour WHERE metric = 'exai_calls_total'
        AND labels LIKE '%"outcome":"unwritten"%') AS unwritten"#;

#[derive(QueryableByName)]
struct Unaccounted {
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = BigInt)]
    unwritten: i64,
}

#[derive(QueryableByName)]
struct One {
    #[diesel(sql_type = Text)]
    t: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

impl Database {
    /// A new database on the server of that admin.
    pub(crate) async fn on_server(admin: &str, name: &str) -> io::Result<Self> {
        let client = connect(admin).await?;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.map_err(io::Error::other)?;
        let (server, _) = admin.rsplit_once('/').ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self::Postgres(format!("{server}/{name}")))
    }

    /// What the daemon is told.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// The calls that are younger than `after`, oldest first.
    pub(crate) async fn calls(&self, after: &str) -> io::Result<Vec<CallRow>> {
        match self {
            Self::Sqlite(path) => {
                let mut file = open(path)?;
                diesel::sql_query(CALLS).bind::<Text, _>(after).load(&mut file).map_err(io::Error::other)
            }
            Self::Postgres(url) => {
                let rows = connect(url).await?.query(CALLS, &[&after]).await.map_err(io::Error::other)?;
                let row = |row: &tokio_postgres::Row| CallRow {
                    id: row.get(0),
                    key: row.get(1),
                    state: row.get(2),
                    result: row.get(3),
                };
                Ok(rows.iter().map(row).collect())
            }
        }
    }

    /// The attempts of calls that are younger than `after`.
    pub(crate) async fn attempts(&self, after: &str) -> io::Result<Vec<AttemptRow>> {
        match self {
            Self::Sqlite(path) => {
                let mut file = open(path)?;
                diesel::sql_query(ATTEMPTS).bind::<Text, _>(after).load(&mut file).map_err(io::Error::other)
            }
            Self::Postgres(url) => {
                let rows = connect(url).await?.query(ATTEMPTS, &[&after]).await.map_err(io::Error::other)?;
                let row = |row: &tokio_postgres::Row| AttemptRow {
                    call: row.get(0),
                    n: row.get(1),
                    state: row.get(2),
                    status: row.get(3),
                };
                Ok(rows.iter().map(row).collect())
            }
        }
    }

    /// Completed calls, younger than `after`, whose turns are not exactly two.
    pub(crate) async fn torn(&self, after: &str) -> io::Result<Vec<String>> {
        match self {
            Self::Sqlite(path) => {
                let rows = diesel::sql_query(TORN).bind::<Text, _>(after).load::<One>(&mut open(path)?);
                Ok(rows.map_err(io::Error::other)?.into_iter().map(|row| row.t).collect())
            }
            Self::Postgres(url) => {
                let rows = connect(url).await?.query(TORN, &[&after]).await.map_err(io::Error::other)?;
                Ok(rows.iter().map(|row| row.get(0)).collect())
            }
        }
    }

    /// The id of the youngest call; empty where there is none.
    pub(crate) async fn newest(&self) -> io::Result<String> {
        match self {
            Self::Sqlite(path) => {
                let row = diesel::sql_query(NEWEST).get_result::<One>(&mut open(path)?);
                Ok(row.map_err(io::Error::other)?.t)
            }
            Self::Postgres(url) => {
                let row = connect(url).await?.query_one(NEWEST, &[]).await.map_err(io::Error::other)?;
                Ok(row.get(0))
            }
        }
    }

    /// Calls that the journal has and the rollups lack without saying so, and how many more the rollups may have than the journal.
    pub(crate) async fn unaccounted(&self) -> io::Result<(i64, i64)> {
        match self {
            Self::Sqlite(path) => {
                let row = diesel::sql_query(UNACCOUNTED).get_result::<Unaccounted>(&mut open(path)?);
                let row = row.map_err(io::Error::other)?;
                Ok((row.n, row.unwritten))
            }
            Self::Postgres(url) => {
                let row = connect(url).await?.query_one(UNACCOUNTED, &[]).await.map_err(io::Error::other)?;
                Ok((row.get(0), row.get(1)))
            }
        }
    }

    /// How many rows of calls and attempts are open.
    pub(crate) async fn open_rows(&self) -> io::Result<i64> {
        match self {
            Self::Sqlite(path) => {
                let row = diesel::sql_query(OPEN).get_result::<Number>(&mut open(path)?);
                Ok(row.map_err(io::Error::other)?.n)
            }
            Self::Postgres(url) => {
                let row = connect(url).await?.query_one(OPEN, &[]).await.map_err(io::Error::other)?;
                Ok(row.get(0))
            }
        }
    }
}

fn open(path: &std::path::Path) -> io::Result<SqliteConnection> {
    let mut file = SqliteConnection::establish(&path.to_string_lossy()).map_err(io::Error::other)?;
    file.batch_execute("PRAGMA busy_timeout = 10000").map_err(io::Error::other)?;
    Ok(file)
}

async fn connect(url: &str) -> io::Result<tokio_postgres::Client> {
    let (client, driver) = tokio_postgres::connect(url, NoTls).await.map_err(io::Error::other)?;
    tokio::spawn(driver);
    Ok(client)
}
