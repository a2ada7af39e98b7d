//! The database goes away, hangs, or this process is killed: nothing acknowledged is lost, nothing hangs, and it recovers by itself.

use std::collections::HashSet;
use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use exai_actors::clock;
use exai_actors::health::Status;
use exai_actors::ids::{CallId, ConversationId};
use exai_actors::storage::Url;
use exai_actors::storage_writer;
use exai_actors::storage_writer::messages::{Record, WriteError, Written};

use crate::records::{attempt, call, end, exchange, principal};
use crate::world::{Db, World};

/// Says where the child of a kill test finds its database.
const CHILD_DATABASE: &str = "EXAI_TEST_CHILD_DATABASE";
/// Acknowledged calls after which the child is killed.
const ACKNOWLEDGED: usize = 300;

pub(crate) fn opened(id: CallId) -> Record {
    Record::CallOpened(call(id, "ann", None), Some(attempt(id, 1)))
}

pub(crate) fn path_of(db: &Db) -> std::path::PathBuf {
    match &db.url {
        Url::Sqlite(path) => path.clone(),
        Url::Postgres(_) => panic!("a SQLite test"),
    }
}

#[actix::test]
async fn a_locked_file_is_unavailable_and_recovers() {
    let world = World::new(Db::sqlite().await);
    world.done(opened(CallId::mint())).await;
    {
        use diesel::connection::SimpleConnection;
        use diesel::{Connection, SqliteConnection};
        let mut other = SqliteConnection::establish(path_of(&world.db).to_str().unwrap()).unwrap();
        other.batch_execute("BEGIN EXCLUSIVE").unwrap();
        assert_eq!(world.write(opened(CallId::mint())).await, Err(WriteError::Unavailable));
        world.until(Status::Down).await;
        // The probe alone waits for it from here on.
        let asked = clock::now();
        for _ in 0..20 {
            assert_eq!(world.write(opened(CallId::mint())).await, Err(WriteError::Unavailable));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(clock::now() - asked < Duration::from_secs(2), "{:?}", clock::now() - asked);
        // Readers do not wait for the writer.
        world.store.ping().await.unwrap();
    }
    world.until(Status::Ok).await;
    world.done(opened(CallId::mint())).await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, 2);
}

#[actix::test]
async fn a_file_that_is_gone_is_unavailable_and_not_made_anew() {
    let world = World::new(Db::sqlite().await);
    world.done(opened(CallId::mint())).await;
    let folder = path_of(&world.db).parent().unwrap().to_owned();
    let away = folder.with_file_name("away");
    std::fs::rename(&folder, &away).unwrap();
    assert_eq!(world.write(opened(CallId::mint())).await, Err(WriteError::Unavailable));
    world.until(Status::Down).await;
    assert!(!folder.exists(), "an empty database would look like a healthy one");
    std::fs::rename(&away, &folder).unwrap();
    world.until(Status::Ok).await;
    world.done(opened(CallId::mint())).await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, 2);
}

#[actix::test]
async fn a_full_database_is_unavailable_and_recovers() {
    let world = World::new(Db::sqlite().await);
    world.done(opened(CallId::mint())).await;
    // A trigger that says what SQLite says on a full disk stands in for one.
    let full = "CREATE TRIGGER full_1 BEFORE INSERT ON calls BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END;
        CREATE TRIGGER full_2 BEFORE UPDATE ON storage_probe BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END;";
    world.db.execute(full).await;
    assert_eq!(world.write(opened(CallId::mint())).await, Err(WriteError::Unavailable));
    world.until(Status::Down).await;
    assert!(world.board.get("storage").unwrap().detail.contains("full"));
    // A ping that only reads would call it healthy.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(world.board.get("storage").unwrap().status, Status::Down);
    world.db.execute("DROP TRIGGER full_1; DROP TRIGGER full_2").await;
    world.until(Status::Ok).await;
    world.done(opened(CallId::mint())).await;
}

/// Writes calls until it is killed, and says of each when it is acknowledged.
async fn child(url: &str) {
    let db = Db::at(url);
    let world = World::new(db);
    loop {
        let writes = (0..16).map(|_| async {
            let id = CallId::mint();
            world.done(opened(id)).await;
            let turns = exchange(ConversationId::mint(), "ann", id, "hello");
            world.done(Record::CallEnded(Box::new(end(id, Some(turns))))).await;
            let mut out = std::io::stdout().lock();
            writeln!(out, "acknowledged {id}").unwrap();
            out.flush().unwrap();
        });
        futures_util::future::join_all(writes).await;
    }
}

/// Kills a copy of this test, which runs it as `child`, in the middle of its writing.
async fn nothing_acknowledged_is_lost_by_a_kill(db: Db, test: &str) {
    if let Ok(url) = env::var(CHILD_DATABASE) {
        return child(&url).await;
    }
    let mut process = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .env(CHILD_DATABASE, &db.text)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = HashSet::new();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut killed = false;
    for line in lines.by_ref() {
        if let Some((_, id)) = line.split_once("acknowledged ") {
            acknowledged.insert(id.to_owned());
        }
        if acknowledged.len() >= ACKNOWLEDGED && !killed {
            process.kill().unwrap();
            killed = true;
        }
    }
    process.wait().unwrap();
    assert!(killed, "the child ended by itself");
    let world = World::new(db);
    world.until(Status::Ok).await;
    for id in &acknowledged {
        let stored = world.store.load_call(&principal("ann"), id.parse().unwrap()).await.unwrap();
        assert!(stored.is_some_and(|call| call.result.is_some()), "{id} was acknowledged and is lost");
    }
}

#[actix::test]
async fn kill_on_sqlite() {
    nothing_acknowledged_is_lost_by_a_kill(Db::sqlite().await, "outages::kill_on_sqlite").await;
}

#[actix::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn kill_on_postgres() {
    nothing_acknowledged_is_lost_by_a_kill(Db::postgres().await, "outages::kill_on_postgres").await;
}

/// A Postgres of one test's own, that it may kill.
pub(crate) struct Server {
    shell: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) url: String,
    pub(crate) home: String,
}

impl Server {
    pub(crate) fn start(arguments: &str) -> Self {
        let support = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/support/postgres.sh");
        let script = format!(
            ". {support}; trap stop_postgres EXIT; start_postgres {arguments} || exit 1
            echo \"$EXAI_TEST_POSTGRES_URL\"; echo \"$_postgres_home\"
            while read -r order; do $order; echo done; done"
        );
        let mut shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = shell.stdin.take().unwrap();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        let mut server = Self { shell, orders, answers, url: String::new(), home: String::new() };
        server.url = server.answer();
        server.home = server.answer();
        server
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Runs a function of `postgres.sh`.
    pub(crate) fn order(&mut self, function: &str) {
        writeln!(self.orders, "{function}").unwrap();
        assert_eq!(self.answer(), "done");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input ends the shell, whose trap stops the server.
        let _ = writeln!(self.orders, "exit 0");
        let _ = self.shell.wait();
    }
}

#[actix::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_killed_server_loses_nothing_acknowledged() {
    let mut server = Server::start("");
    let world = World::new(Db::on_server(&server.url).await);
    world.until(Status::Ok).await;
    let writers = (0..32).map(|_| {
        let writer = world.writer.clone();
        actix::spawn(async move {
            let (mut acknowledged, mut unavailable) = (Vec::new(), 0);
            let end = clock::now() + Duration::from_secs(8);
            while clock::now() < end {
                let id = CallId::mint();
                match storage_writer::write(&writer, opened(id)).await {
                    Ok(Written::Done) => acknowledged.push(id),
                    Err(WriteError::Unavailable | WriteError::Uncertain) => {
                        unavailable += 1;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    other => panic!("{other:?}"),
                }
            }
            (acknowledged, unavailable)
        })
    });
    let writers = writers.collect::<Vec<_>>();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.order("kill_postgres");
    world.until(Status::Down).await;
    server.order("resume_postgres");
    world.until(Status::Ok).await;
    let (mut acknowledged, mut unavailable) = (Vec::new(), 0);
    for writer in writers {
        let (ids, refused) = writer.await.unwrap();
        acknowledged.extend(ids);
        unavailable += refused;
    }
    assert!(unavailable > 0 && acknowledged.len() > 100, "{unavailable} and {}", acknowledged.len());
    for id in &acknowledged {
        let stored = world.store.load_call(&principal("ann"), *id).await.unwrap();
        assert!(stored.is_some(), "{id} was acknowledged and is lost");
    }
}
