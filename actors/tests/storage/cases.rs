//! What must hold on either database. Each case is written once; `main.rs` runs it on both.

use std::collections::HashSet;

use exai_actors::clock::UtcMillis;
use exai_actors::health::Status;
use exai_actors::ids::{CallId, ConversationId, SessionId};
use exai_actors::storage::rows::*;
use exai_actors::storage::{self, Durability, MigrateError};
use exai_actors::storage_writer;
use exai_actors::storage_writer::batch::Limits;
use exai_actors::storage_writer::messages::{Record, WriteError, Written};

use crate::records::*;
use crate::world::{Db, World};

/// Makes a call that is answered and remembered.
async fn consult(world: &World, conversation: ConversationId, owner: &str, text: &str) -> CallId {
    let id = CallId::mint();
    world.done(Record::CallOpened(call(id, owner, None), Some(attempt(id, 1)))).await;
    let exchange = exchange(conversation, owner, id, text);
    world.done(Record::CallEnded(Box::new(end(id, Some(exchange))))).await;
    id
}

pub(crate) async fn every_record_is_written(db: Db) {
    let world = World::new(db);
    let (id, conversation, session) = (CallId::mint(), ConversationId::mint(), SessionId::mint());
    let opened = NewSession {
        id: session,
        principal: principal("ann"),
        client: "test 1".into(),
        protocol: "2025-11-25".into(),
        transport: "websocket".into(),
        connected_at: UtcMillis(1),
    };
    let closed = EndedSession {
        id: session,
        close_code: 1000,
        messages_in: 5,
        messages_out: 6,
        closed_at: UtcMillis(9),
    };
    world.done(Record::SessionOpened(opened)).await;
    world.done(Record::CallOpened(call(id, "ann", Some("k")), None)).await;
    let state = || async { world.store.load_call(&principal("ann"), id).await.unwrap().unwrap().state };
    assert_eq!(state().await, CallState::Accepted);
    world.done(Record::AttemptOpened(attempt(id, 1))).await;
    assert_eq!(state().await, CallState::Dispatched);
    world.done(Record::AttemptEnded(attempt_end(id, 1, AttemptState::Failed))).await;
    world.done(Record::AttemptOpened(attempt(id, 2))).await;
    let mut ended = end(id, Some(exchange(conversation, "ann", id, "nul \0 inside")));
    ended.attempt = Some(attempt_end(id, 2, AttemptState::Completed));
    world.done(Record::CallEnded(Box::new(ended))).await;
    world.done(Record::CallDelivered { call: id, at: UtcMillis(7) }).await;
    world.done(Record::SessionEnded(closed)).await;

    let stored = world.store.load_call_by_key(&principal("ann"), &"k".into()).await.unwrap().unwrap();
    assert_eq!((stored.id, stored.state), (id, CallState::Completed));
    assert_eq!(stored.result.as_deref(), Some("nul \u{FFFD} inside!"));
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM attempts WHERE state = 'failed' AND n = 1 AND cost_usd = 0.25", 1),
        (
            "SELECT count(*) AS n FROM attempts WHERE state = 'completed' AND n = 2 AND reasoning_tokens = 3",
            1,
        ),
        (
            "SELECT count(*) AS n FROM calls WHERE completed_at = 3000 AND dispatched_at = 2000 AND failed_at IS NULL",
            1,
        ),
        ("SELECT delivered_at AS n FROM calls", 7),
        ("SELECT messages_out AS n FROM sessions WHERE close_code = 1000", 6),
        ("SELECT count(*) AS n FROM messages", 2),
    ] {
        assert_eq!(world.db.number(sql).await, expected, "{sql}");
    }
    world.until(Status::Ok).await;
}

pub(crate) async fn a_thread_is_loaded_newest_turns_oldest_first(db: Db) {
    let world = World::new(db);
    let conversation = ConversationId::mint();
    for text in ["one", "two", "three"] {
        consult(&world, conversation, "ann", text).await;
    }
    let load = |turns| {
        let store = world.store.clone();
        async move { store.load_thread(&principal("ann"), conversation, turns).await.unwrap().unwrap() }
    };
    let texts =
        |thread: &Thread| thread.turns.iter().map(|turn| turn.content.to_string()).collect::<Vec<_>>();
    let all = load(50).await;
    assert_eq!(texts(&all), ["one?", "one!", "two?", "two!", "three?", "three!"]);
    assert_eq!(all.turn_count, 6);
    let newest = load(3).await;
    assert_eq!(texts(&newest), ["two!", "three?", "three!"]);
    assert_eq!(newest.turn_count, 6);
    assert_eq!((load(0).await.turns.len(), load(0).await.turn_count), (0, 6));
}

pub(crate) async fn another_principals_things_look_unknown(db: Db) {
    let world = World::new(db);
    let conversation = ConversationId::mint();
    let id = consult(&world, conversation, "ann", "secret").await;
    let bob = principal("bob");
    assert_eq!(world.store.load_thread(&bob, conversation, 50).await.unwrap(), None);
    assert_eq!(world.store.load_thread(&bob, ConversationId::mint(), 50).await.unwrap(), None);
    assert_eq!(world.store.load_call(&bob, id).await.unwrap(), None);
    // Nor can bob append to it, and his call stays as it was.
    let intruder = CallId::mint();
    world.done(Record::CallOpened(call(intruder, "bob", None), Some(attempt(intruder, 1)))).await;
    let ended = end(intruder, Some(exchange(conversation, "bob", intruder, "mine")));
    assert_eq!(world.write(Record::CallEnded(Box::new(ended))).await, Err(WriteError::Refused));
    assert_eq!(world.db.number("SELECT count(*) AS n FROM messages").await, 2);
    let left = world.store.load_call(&bob, intruder).await.unwrap().unwrap();
    assert_eq!((left.state, left.result), (CallState::Dispatched, None));
}

pub(crate) async fn a_used_key_writes_nothing(db: Db) {
    let world = World::new(db);
    let (first, second) = (CallId::mint(), CallId::mint());
    world.done(Record::CallOpened(call(first, "ann", Some("k")), None)).await;
    let again = Record::CallOpened(call(second, "ann", Some("k")), Some(attempt(second, 1)));
    assert_eq!(world.write(again).await, Ok(Written::DuplicateKey));
    assert_eq!(world.db.number("SELECT count(*) AS n FROM attempts").await, 0);
    // The very same call is no duplicate of itself: its acknowledgement may have been lost.
    world.done(Record::CallOpened(call(first, "ann", Some("k")), None)).await;
    // Another principal's key is another key.
    world.done(Record::CallOpened(call(second, "bob", Some("k")), None)).await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, 2);
}

pub(crate) async fn the_same_exchange_twice_changes_nothing(db: Db) {
    let world = World::new(db);
    let (conversation, id) = (ConversationId::mint(), CallId::mint());
    world.done(Record::CallOpened(call(id, "ann", None), Some(attempt(id, 1)))).await;
    let ended = end(id, Some(exchange(conversation, "ann", id, "once")));
    world.done(Record::CallEnded(Box::new(ended.clone()))).await;
    world.done(Record::CallEnded(Box::new(ended.clone()))).await;
    // Even when the call was called unknown in between: its turns stand once.
    world.db.execute("UPDATE calls SET state = 'unknown'").await;
    world.done(Record::CallEnded(Box::new(ended))).await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM messages").await, 2);
    assert_eq!(world.db.number("SELECT sum(turn_count) AS n FROM conversations").await, 2);
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls WHERE state = 'completed'").await, 1);
}

pub(crate) async fn the_first_end_stands(db: Db) {
    let world = World::new(db);
    let id = CallId::mint();
    world.done(Record::CallOpened(call(id, "ann", None), Some(attempt(id, 1)))).await;
    let cancelled = EndedCall { state: CallState::Cancelled, ..end(id, None) };
    world.done(Record::CallEnded(Box::new(cancelled))).await;
    world.done(Record::CallEnded(Box::new(end(id, None)))).await;
    let stored = world.store.load_call(&principal("ann"), id).await.unwrap().unwrap();
    assert_eq!(stored.state, CallState::Cancelled);
}

pub(crate) async fn writes_that_come_together_are_committed_together(db: Db) {
    const WRITES: usize = 1000;
    let world = World::with(db, Durability::Power, Limits::default());
    world.until(Status::Ok).await;
    let before = world.facts.borrow().commits;
    let ids = (0..WRITES).map(|_| CallId::mint()).collect::<Vec<_>>();
    let tasks = ids.iter().map(|id| {
        let (writer, id) = (world.writer.clone(), *id);
        actix::spawn(async move {
            let opened = Record::CallOpened(call(id, "ann", None), Some(attempt(id, 1)));
            storage_writer::write(&writer, opened).await.unwrap();
            let ended = end(id, Some(exchange(ConversationId::mint(), "ann", id, "hello")));
            storage_writer::write(&writer, Record::CallEnded(Box::new(ended))).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let commits = world.facts.borrow().commits - before;
    assert!(commits < (WRITES / 10) as u64, "{commits} commits for {} writes", 2 * WRITES);
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls WHERE state = 'completed'").await, 1000);
    assert_eq!(world.db.number("SELECT count(*) AS n FROM messages").await, 2000);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), WRITES);
}

pub(crate) async fn a_poisonous_row_is_refused_alone(db: Db) {
    let world = World::new(db);
    let ids = (0..20).map(|_| CallId::mint()).collect::<Vec<_>>();
    let writes = ids.iter().enumerate().map(|(n, id)| {
        // An attempt of a call that does not stand.
        let record = if n == 7 {
            Record::AttemptOpened(attempt(CallId::mint(), 1))
        } else {
            Record::CallOpened(call(*id, "ann", None), None)
        };
        world.write(record)
    });
    let outcomes = futures_util::future::join_all(writes).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let expected = if n == 7 { Err(WriteError::Refused) } else { Ok(Written::Done) };
        assert_eq!(outcome, expected, "{n}");
    }
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, 19);
    assert_eq!(world.facts.borrow().refused, 1);
    assert_eq!(world.board.get("storage").unwrap().status, Status::Ok);
}

pub(crate) async fn a_flush_waits_for_what_came_before_it(db: Db) {
    let world = World::new(db);
    let writes = (0..500).map(|_| world.write(Record::CallOpened(call(CallId::mint(), "ann", None), None)));
    let mut all = Box::pin(futures_util::future::join_all(writes));
    // One poll sends everything.
    assert!(futures_util::poll!(&mut all).is_pending());
    world.flush().await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, 500);
    assert!(all.await.into_iter().all(|outcome| outcome == Ok(Written::Done)));
}

pub(crate) async fn what_goes_beyond_the_limit_is_refused_at_once(db: Db) {
    let limits = Limits { waiting_rows_max: 10, commit_rows_max: 5, ..Limits::default() };
    let world = World::with(db, Durability::Power, limits);
    let writes = (0..200).map(|_| world.write(Record::CallOpened(call(CallId::mint(), "ann", None), None)));
    let outcomes = futures_util::future::join_all(writes).await;
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let (written, full) = (count(Ok(Written::Done)), count(Err(WriteError::Full)));
    assert_eq!(written + full, 200);
    assert!(written >= 10 && full > 0, "{written} written, {full} refused");
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, written as i64);
}

pub(crate) async fn migrating_twice_does_nothing(db: Db) {
    let first = storage::migrate(&db.url).unwrap();
    assert_eq!(first.applied, ["0001_initial", "0002_recovery", "0003_events", "0004_lives"]);
    let second = storage::migrate(&db.url).unwrap();
    assert_eq!((second.applied.len(), second.version), (0, first.version));
}

pub(crate) async fn two_processes_may_migrate_at_once(db: Db) {
    let threads = (0..6).map(|_| {
        let url = db.url.clone();
        std::thread::spawn(move || storage::migrate(&url).unwrap().applied.len())
    });
    let applied = threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).sum::<usize>();
    assert_eq!(applied, 4, "each migration once");
}

pub(crate) async fn a_foreign_schema_is_refused_by_name(db: Db) {
    storage::migrate(&db.url).unwrap();
    db.execute("INSERT INTO schema_migrations VALUES ('9999_future', 'x', 0)").await;
    let newer = storage::migrate(&db.url).unwrap_err();
    assert!(matches!(&newer, MigrateError::Newer { name } if name == "9999_future"), "{newer}");
    assert!(newer.to_string().contains("newer release"), "{newer}");
    db.execute("DELETE FROM schema_migrations WHERE name = '9999_future'").await;
    db.execute("UPDATE schema_migrations SET checksum = 'edited'").await;
    let edited = storage::migrate(&db.url).unwrap_err();
    assert!(matches!(&edited, MigrateError::Checksum { name } if name == "0001_initial"), "{edited}");
}

pub(crate) async fn process_durability_writes_the_same(db: Db) {
    let world = World::with(db, Durability::Process, Limits::default());
    world.done(Record::CallOpened(call(CallId::mint(), "ann", None), None)).await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, 1);
    assert!(world.board.get("storage").unwrap().detail.contains("not across power cuts"));
}
