//! A migrated database of its own for one test, with a writer on its own thread and a read handle.

use std::env;
use std::time::Duration;

use actix::{Addr, Arbiter};
use diesel::sql_types::BigInt;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};
use exai_actors::health::{HealthBoard, Status};
use exai_actors::ids::CallId;
use exai_actors::storage::{self, Durability, SpoolSettings, Store, Url};
use exai_actors::storage_writer::batch::Limits;
use exai_actors::storage_writer::messages::{Flush, Record, WriteError, WriterFacts, Written};
use exai_actors::storage_writer::{self, COMPONENT, StorageWriter, Wiring};
use exai_actors::{clock, mail};
use tokio::sync::{oneshot, watch};

/// How long a test waits for something that is to come soon.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A database.
pub(crate) struct Db {
    pub(crate) url: Url,
    pub(crate) text: String,
    _folder: Option<tempfile::TempDir>,
}

impl Db {
    /// A file in a folder that does not exist yet.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("sqlite://{}/data/exai.db", folder.path().display());
        Self { url: text.parse().unwrap(), text, _folder: Some(folder) }
    }

    /// A new database on the server of `EXAI_TEST_POSTGRES_URL`.
    pub(crate) async fn postgres() -> Self {
        let admin =
            env::var("EXAI_TEST_POSTGRES_URL").expect("EXAI_TEST_POSTGRES_URL names a private server");
        Self::on_server(&admin).await
    }

    /// A new database on that server.
    pub(crate) async fn on_server(admin: &str) -> Self {
        let name = format!("t{}", CallId::mint().to_string().replace('-', ""));
        execute_postgres(admin, &format!("CREATE DATABASE {name}")).await;
        let text = admin.replace("/postgres", &format!("/{name}"));
        Self { url: text.parse().unwrap(), text, _folder: None }
    }

    /// One that exists.
    pub(crate) fn at(text: &str) -> Self {
        Self { url: text.parse().unwrap(), text: text.to_owned(), _folder: None }
    }

    /// The one number that a query gives, as column `n`.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        if let Url::Sqlite(path) = &self.url {
            #[derive(QueryableByName)]
            struct Number {
                #[diesel(sql_type = BigInt)]
                n: i64,
            }
            let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
            return diesel::sql_query(sql).get_result::<Number>(&mut conn).unwrap().n;
        }
        let (client, driver) = tokio_postgres::connect(&self.text, tokio_postgres::NoTls).await.unwrap();
        actix::spawn(driver);
        client.query_one(sql, &[]).await.unwrap().get("n")
    }

    /// Runs statements behind the product's back.
    pub(crate) async fn execute(&self, sql: &str) {
        if let Url::Sqlite(path) = &self.url {
            use diesel::connection::SimpleConnection;
            SqliteConnection::establish(path.to_str().unwrap()).unwrap().batch_execute(sql).unwrap();
            return;
        }
        execute_postgres(&self.text, sql).await;
    }
}

async fn execute_postgres(url: &str, sql: &str) {
    let (client, driver) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    actix::spawn(driver);
    client.batch_execute(sql).await.unwrap();
}

/// A database with everything that works on it.
pub(crate) struct World {
    pub(crate) db: Db,
    pub(crate) store: Store,
    pub(crate) writer: Addr<StorageWriter>,
    pub(crate) board: HealthBoard,
    pub(crate) facts: watch::Receiver<WriterFacts>,
    arbiter: Arbiter,
}

impl Drop for World {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

impl World {
    pub(crate) fn new(db: Db) -> Self {
        Self::with(db, Durability::Power, Limits::default())
    }

    pub(crate) fn with(db: Db, durability: Durability, limits: Limits) -> Self {
        Self::start(db, durability, limits, None)
    }

    /// One with a spool.
    pub(crate) fn spooling(db: Db, spool: SpoolSettings) -> Self {
        Self::start(db, Durability::Power, Limits::default(), Some(spool))
    }

    fn start(db: Db, durability: Durability, limits: Limits, spool: Option<SpoolSettings>) -> Self {
        storage::migrate(&db.url).unwrap();
        let board = HealthBoard::default();
        let arbiter = Arbiter::new();
        let (sender, facts) = watch::channel(WriterFacts::default());
        let writer = storage_writer::start(
            Wiring {
                arbiter: &arbiter.handle(),
                url: db.url.clone(),
                durability,
                board: board.clone(),
                facts: sender,
                limits,
                spool,
            },
            |_| {},
        );
        let store = Store::open(&db.url, 4, board.clone()).unwrap();
        Self { db, store, writer, board, facts, arbiter }
    }

    pub(crate) async fn write(&self, record: Record) -> Result<Written, WriteError> {
        storage_writer::write(&self.writer, record).await
    }

    /// Writes what must be written.
    pub(crate) async fn done(&self, record: Record) {
        let kind = record.kind();
        assert_eq!(self.write(record).await, Ok(Written::Done), "{kind}");
    }

    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        mail::tell(&self.writer, Flush { done }).unwrap();
        flushed.await.unwrap();
    }

    /// Waits until the board says that of the storage.
    pub(crate) async fn until(&self, status: Status) {
        let end = clock::now() + SOON;
        while self.board.get(COMPONENT).map(|health| health.status) != Some(status) {
            assert!(clock::now() < end, "the storage is never {status:?}: {:?}", self.board.get(COMPONENT));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
