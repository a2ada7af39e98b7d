//! Outcomes while the database is away: acknowledged behind an fsync, in the database when it is back, whatever dies meanwhile.

use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use exai_actors::clock::{self, UtcMillis};
use exai_actors::health::Status;
use exai_actors::ids::{CallId, ConversationId};
use exai_actors::storage::SpoolSettings;
use exai_actors::storage::rows::{AttemptState, CallState};
use exai_actors::storage_writer::messages::{Record, WriteError};

use crate::outages::{Server, path_of};
use crate::records::{attempt, attempt_end, call, end, exchange, principal};
use crate::world::{Db, SOON, World};

const MIB: u64 = 1 << 20;
/// Says where the child of the kill test finds its database and its spool.
const CHILD_DATABASE: &str = "EXAI_TEST_SPOOL_DATABASE";
const CHILD_SPOOL: &str = "EXAI_TEST_SPOOL_FILE";
/// Calls of the kill test.
const CALLS: usize = 200;

fn settings(path: &Path, bytes_max: u64) -> SpoolSettings {
    SpoolSettings { path: path.to_owned(), bytes_max, left_behind: Vec::new() }
}

async fn open(world: &World) -> CallId {
    let id = CallId::mint();
    world.done(Record::CallOpened(call(id, "ann", None), Some(attempt(id, 1)))).await;
    id
}

/// An answer of so many bytes.
fn ended(id: CallId, bytes: usize) -> Record {
    let exchange = exchange(ConversationId::mint(), "ann", id, &"x".repeat(bytes));
    Record::CallEnded(Box::new(end(id, Some(exchange))))
}

/// A database that can be taken away.
enum Outage {
    File(PathBuf),
    Server(Server),
}

impl Outage {
    async fn sqlite() -> (Db, Self) {
        let db = Db::sqlite().await;
        let folder = path_of(&db).parent().unwrap().to_owned();
        (db, Self::File(folder))
    }

    async fn postgres() -> (Db, Self) {
        let server = Server::start("");
        (Db::on_server(&server.url).await, Self::Server(server))
    }

    fn begins(&mut self) {
        match self {
            Self::File(folder) => std::fs::rename(&folder, folder.with_file_name("away")).unwrap(),
            Self::Server(server) => server.order("kill_postgres"),
        }
    }

    fn ends(&mut self) {
        match self {
            Self::File(folder) => std::fs::rename(folder.with_file_name("away"), folder).unwrap(),
            Self::Server(server) => server.order("resume_postgres"),
        }
    }
}

/// Waits until nothing waits in the spool.
async fn until_replayed(world: &World) {
    world.until(Status::Ok).await;
    let end = clock::now() + SOON;
    while world.facts.borrow().spool_rows > 0 {
        assert!(clock::now() < end, "{:?}", world.facts.borrow());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn outcomes_outlast_an_outage((db, mut outage): (Db, Outage)) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::spooling(db, settings(&folder.path().join("spool"), MIB));
    let (twice, once) = (open(&world).await, open(&world).await);
    outage.begins();
    let refused = world.write(Record::CallOpened(call(CallId::mint(), "ann", None), None)).await;
    assert_eq!(refused, Err(WriteError::Unavailable), "a new call is never spooled");
    assert_eq!(world.write(Record::AttemptOpened(attempt(once, 2))).await, Err(WriteError::Unavailable));
    // In their order: the last word on the attempt is the second one.
    world.done(Record::AttemptEnded(attempt_end(twice, 1, AttemptState::Failed))).await;
    world.done(ended(twice, 10)).await;
    world.done(Record::CallDelivered { call: twice, at: UtcMillis(5_000) }).await;
    // A call that does not stand holds nobody up.
    world.done(ended(CallId::mint(), 10)).await;
    world.done(ended(once, 20_000)).await;
    world.flush().await;
    let health = world.board.get("storage").unwrap();
    assert_eq!(health.status, Status::Down);
    assert!(health.detail.contains("5 outcomes wait in the spool"), "{}", health.detail);
    assert_eq!(world.facts.borrow().spool_rows, 5);
    outage.ends();
    until_replayed(&world).await;
    for id in [twice, once] {
        let stored = world.store.load_call(&principal("ann"), id).await.unwrap().unwrap();
        assert_eq!(stored.state, CallState::Completed);
    }
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM attempts WHERE state = 'completed'", 2),
        ("SELECT count(*) AS n FROM calls WHERE delivered_at = 5000", 1),
        ("SELECT count(*) AS n FROM calls", 2),
        ("SELECT count(*) AS n FROM messages", 4),
    ] {
        assert_eq!(world.db.number(sql).await, expected, "{sql}");
    }
    let facts = *world.facts.borrow();
    assert_eq!((facts.spool_bytes, facts.spool_replayed), (0, 5));
    open(&world).await;
}

#[actix::test]
async fn outcomes_outlast_an_outage_of_sqlite() {
    outcomes_outlast_an_outage(Outage::sqlite().await).await;
}

#[actix::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn outcomes_outlast_an_outage_of_postgres() {
    outcomes_outlast_an_outage(Outage::postgres().await).await;
}

/// Opens calls, waits for the outage, and says of each end when it is acknowledged.
async fn child(url: &str, spool: &str) {
    let world = World::spooling(Db::at(url), settings(Path::new(spool), 16 * MIB));
    let mut ids = Vec::new();
    for _ in 0..CALLS {
        ids.push(open(&world).await);
    }
    println_flushed("opened");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let ends = ids.into_iter().map(|id| {
        let world = &world;
        async move {
            world.done(ended(id, 2_000)).await;
            println_flushed(&format!("acknowledged {id}"));
        }
    });
    futures_util::future::join_all(ends).await;
    loop {
        tokio::time::sleep(SOON).await;
    }
}

fn println_flushed(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Kills a copy of this test, which runs it as `child`, when its spool is full of what it acknowledged.
async fn a_killed_process_loses_no_outcome(start: impl AsyncFnOnce() -> (Db, Outage), test: &str) {
    if let (Ok(url), Ok(spool)) = (env::var(CHILD_DATABASE), env::var(CHILD_SPOOL)) {
        return child(&url, &spool).await;
    }
    let (db, mut outage) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let mut process = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .env(CHILD_DATABASE, &db.text)
        .env(CHILD_SPOOL, &spool)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = process.stdin.take().unwrap();
    let mut acknowledged = Vec::new();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    for line in lines {
        if line.ends_with("opened") {
            outage.begins();
            writeln!(orders, "away").unwrap();
        } else if let Some((_, id)) = line.split_once("acknowledged ") {
            acknowledged.push(id.parse::<CallId>().unwrap());
        }
        if acknowledged.len() == CALLS {
            process.kill().unwrap();
        }
    }
    process.wait().unwrap();
    assert_eq!(acknowledged.len(), CALLS, "the child ended by itself");
    outage.ends();
    let world = World::spooling(db, settings(&spool, 16 * MIB));
    // The very first write finds everything written.
    open(&world).await;
    for id in acknowledged {
        let stored = world.store.load_call(&principal("ann"), id).await.unwrap().unwrap();
        assert!(stored.result.is_some(), "{id} was acknowledged and is lost");
    }
    assert_eq!(world.facts.borrow().spool_replayed, CALLS as u64);
}

#[actix::test]
async fn kill_on_sqlite() {
    a_killed_process_loses_no_outcome(Outage::sqlite, "spool::kill_on_sqlite").await;
}

#[actix::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn kill_on_postgres() {
    a_killed_process_loses_no_outcome(Outage::postgres, "spool::kill_on_postgres").await;
}

#[actix::test]
async fn a_full_spool_leaves_the_rest_to_its_callers() {
    let (db, mut outage) = Outage::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    let world = World::spooling(db, settings(&folder.path().join("spool"), 20_000));
    let ids = [open(&world).await, open(&world).await, open(&world).await];
    outage.begins();
    world.done(ended(ids[0], 2_000)).await;
    assert_eq!(world.write(ended(ids[1], 20_000)).await, Err(WriteError::Unavailable));
    world.done(ended(ids[2], 2_000)).await;
    outage.ends();
    until_replayed(&world).await;
    world.done(ended(ids[1], 20_000)).await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls WHERE state = 'completed'").await, 3);
}

#[actix::test]
async fn what_another_process_left_is_written_first_and_its_spool_removed() {
    let (db, mut outage) = Outage::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder.path().join("theirs"), folder.path().join("ours"));
    let url = db.text.clone();
    let gone = World::spooling(Db::at(&url), settings(&theirs, MIB));
    let id = open(&gone).await;
    outage.begins();
    gone.done(ended(id, 10)).await;
    drop(gone);
    outage.ends();
    let left_behind = vec![theirs.clone(), folder.path().join("never made")];
    let world = World::spooling(db, SpoolSettings { left_behind, ..settings(&ours, MIB) });
    open(&world).await;
    let stored = world.store.load_call(&principal("ann"), id).await.unwrap().unwrap();
    assert_eq!(stored.state, CallState::Completed);
    assert!(!theirs.exists() && ours.exists());
}

#[actix::test]
async fn a_spool_that_cannot_be_had_is_said_and_changes_nothing_else() {
    let (db, mut outage) = Outage::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    let world = World::spooling(db, settings(&folder.path().join("missing/spool"), MIB));
    let id = open(&world).await;
    assert!(world.board.get("storage").unwrap().detail.ends_with("without a spool"));
    outage.begins();
    assert_eq!(world.write(ended(id, 10)).await, Err(WriteError::Unavailable));
    outage.ends();
    world.until(Status::Ok).await;
    world.done(ended(id, 10)).await;
    // Its folder is there after all.
    std::fs::create_dir(folder.path().join("missing")).unwrap();
    let end = clock::now() + SOON;
    while world.board.get("storage").unwrap().detail.ends_with("without a spool") {
        assert!(clock::now() < end);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
