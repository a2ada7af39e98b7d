//! A database for one test, SQLite or Postgres, and a look into it behind the daemon's back.
#![allow(
    dead_code,
    unreachable_pub,
    unused_macros,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it"
)]

use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};
use exai_actors::ids::CallId;
use tempfile::TempDir;

/// Runs each case on both databases.
macro_rules! on_both {
    ($($case:ident,)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $case() { super::$case(super::Database::sqlite()).await; })*
        }
        mod postgres {
            $(
                #[tokio::test]
                #[ignore = "needs Postgres: tests/run starts one"]
                async fn $case() { super::$case(super::Database::postgres().await).await; }
            )*
        }
    };
}

/// A database that nobody else uses.
pub struct Database {
    /// What the daemon is told.
    pub url: String,
    _folder: Option<TempDir>,
}

impl Database {
    /// A file.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { url: format!("sqlite://{}/exai.db", folder.path().display()), _folder: Some(folder) }
    }

    /// A new database on the server that `tests/run` started.
    pub async fn postgres() -> Self {
        let admin =
            std::env::var("EXAI_TEST_POSTGRES_URL").expect("EXAI_TEST_POSTGRES_URL names a private server");
        Self::on_server(&admin).await
    }

    /// A new database on that server.
    pub async fn on_server(admin: &str) -> Self {
        let name = format!("t{}", CallId::mint().to_string().replace('-', ""));
        postgres(admin).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Self { url: admin.replace("/postgres", &format!("/{name}")), _folder: None }
    }

    /// The one number that a query gives, as column `n`.
    pub async fn number(&self, sql: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Number {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        match self.file() {
            Some(mut file) => diesel::sql_query(sql).get_result::<Number>(&mut file).unwrap().n,
            None => postgres(&self.url).await.query_one(sql, &[]).await.unwrap().get("n"),
        }
    }

    /// Runs statements behind the daemon's back.
    pub async fn execute(&self, sql: &str) {
        use diesel::connection::SimpleConnection;
        match self.file() {
            Some(mut file) => file.batch_execute(sql).unwrap(),
            None => postgres(&self.url).await.batch_execute(sql).await.unwrap(),
        }
    }

    /// The texts that a query gives, as column `t`.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            t: String,
        }
        match self.file() {
            Some(mut file) => {
                let rows = diesel::sql_query(sql).get_results::<Row>(&mut file).unwrap();
                rows.into_iter().map(|row| row.t).collect()
            }
            None => {
                let rows = postgres(&self.url).await.query(sql, &[]).await.unwrap();
                rows.iter().map(|row| row.get("t")).collect()
            }
        }
    }

    /// Calls and attempts in the journal that have not ended.
    pub async fn open_rows(&self) -> i64 {
        let calls = "SELECT count(*) AS n FROM calls WHERE state IN ('accepted', 'dispatched', 'streaming')";
        let attempts = "SELECT count(*) AS n FROM attempts WHERE state = 'dispatched'";
        self.number(calls).await + self.number(attempts).await
    }

    /// The state of every call, in the order in which they were asked.
    pub async fn states(&self) -> Vec<String> {
        self.texts("SELECT state AS t FROM calls ORDER BY id").await
    }

    /// Keeps everybody else from writing to the file until this is dropped.
    pub fn lock(&self) -> SqliteConnection {
        use diesel::connection::SimpleConnection;
        let mut file = self.file().unwrap();
        file.batch_execute("BEGIN IMMEDIATE").unwrap();
        file
    }

    fn file(&self) -> Option<SqliteConnection> {
        use diesel::connection::SimpleConnection;
        let path = self.url.strip_prefix("sqlite://")?;
        let mut file = SqliteConnection::establish(path).unwrap();
        file.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        Some(file)
    }
}

async fn postgres(url: &str) -> tokio_postgres::Client {
    let (client, driver) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(driver);
    client
}
