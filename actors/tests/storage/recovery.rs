//! What recovery, delivery and retention must do on either database. `main.rs` runs each case on both.

use exai_actors::clock::UtcMillis;
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::{CallId, ConversationId};
use exai_actors::storage::rows::*;
use exai_actors::storage_writer::messages::{Absent, Record, WriteError, Written};

use crate::records::*;
use crate::world::{Db, World};

/// One request: whoever has this hash asks the same.
const SAME: &str = "5a";
/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// A call that asks the same as its like.
fn same(id: CallId, owner: &str, key: Option<&str>) -> NewCall {
    NewCall { request_hash: SAME.repeat(32), ..call(id, owner, key) }
}

fn open(call: NewCall) -> Record {
    let first = attempt(call.id, 1);
    Record::CallOpened(call, Some(first))
}

fn ended(id: CallId, at: i64) -> Record {
    let exchange = exchange(ConversationId::mint(), "ann", id, "x");
    Record::CallEnded(Box::new(EndedCall { ended_at: UtcMillis(at), ..end(id, Some(exchange)) }))
}

/// A call of ann's that was answered at that time; nobody has the answer.
async fn answered(world: &World, at: i64) -> CallId {
    let id = CallId::mint();
    // Its own answer may not be the next one's.
    let on_its_way = known(world).await;
    world.done(open(NewCall { on_its_way, ..same(id, "ann", None) })).await;
    world.done(ended(id, at)).await;
    id
}

/// The answer that would be handed out next, and all those that come after it.
async fn known(world: &World) -> Vec<CallId> {
    let mut found = Vec::new();
    loop {
        let id = CallId::mint();
        let asked = NewCall { on_its_way: found.clone(), ..same(id, "ann", None) };
        let written = world.write(Record::CallOpened(asked, None)).await.unwrap();
        if let Written::Undelivered(id) = written {
            found.push(id);
            continue;
        }
        assert_eq!(written, Written::Done);
        world.db.execute(&format!("DELETE FROM calls WHERE id = '{id}'")).await;
        return found;
    }
}

async fn state(world: &World, id: CallId) -> StoredCall {
    world.store.load_call(&principal("ann"), id).await.unwrap().unwrap()
}

fn error(call: &StoredCall) -> CallError {
    serde_json::from_str(call.error.as_deref().unwrap()).unwrap()
}

pub(crate) async fn an_undelivered_answer_is_handed_out(db: Db) {
    let world = World::new(db);
    let (older, newer) = (answered(&world, 3_000).await, answered(&world, 4_000).await);
    let calls = world.db.number("SELECT count(*) AS n FROM calls").await;
    let asks = CallId::mint();
    assert_eq!(world.write(open(same(asks, "ann", None))).await, Ok(Written::Undelivered(newer)));
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, calls, "nothing was written");
    // One that is on its way to somebody else is passed over.
    let asked = NewCall { on_its_way: vec![newer], ..same(asks, "ann", None) };
    assert_eq!(world.write(open(asked)).await, Ok(Written::Undelivered(older)));
    world.done(Record::CallDelivered { call: newer, at: UtcMillis(5_000) }).await;
    assert_eq!(world.write(open(same(asks, "ann", None))).await, Ok(Written::Undelivered(older)));
    world.done(Record::CallDelivered { call: older, at: UtcMillis(5_000) }).await;
    world.done(open(same(asks, "ann", None))).await;
}

pub(crate) async fn only_an_answer_of_ones_own_to_the_same_request_is_handed_out(db: Db) {
    let world = World::new(db);
    let answer = answered(&world, 3_000).await;
    // Somebody else, another request, a call with a name of its own: each is sent.
    world.done(open(same(CallId::mint(), "bob", None))).await;
    world.done(open(call(CallId::mint(), "ann", None))).await;
    world.done(open(same(CallId::mint(), "ann", Some("k")))).await;
    // Nor is one that is too old, whose text is gone, or that failed.
    let late = CallId::mint();
    let asked_late = NewCall { accepted_at: UtcMillis(3_000 + DAY_MS), ..same(late, "ann", None) };
    world.done(open(asked_late)).await;
    world.db.execute(&format!("UPDATE calls SET result = NULL WHERE id = '{answer}'")).await;
    let next = CallId::mint();
    world.done(open(same(next, "ann", None))).await;
    let failed = EndedCall { state: CallState::Failed, result: Some("partial".into()), ..end(next, None) };
    world.done(Record::CallEnded(Box::new(failed))).await;
    world.done(open(same(CallId::mint(), "ann", None))).await;
}

pub(crate) async fn the_very_same_call_is_never_its_own_answer(db: Db) {
    let world = World::new(db);
    let (first, second) = (CallId::mint(), CallId::mint());
    world.done(open(same(first, "ann", None))).await;
    world.done(open(same(second, "ann", None))).await;
    world.done(ended(second, 4_000)).await;
    // The acknowledgement of its opening was lost, and meanwhile another one's answer waits.
    world.done(open(same(first, "ann", None))).await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM attempts").await, 2);
}

pub(crate) async fn a_key_is_taken_over_only_from_the_unknown(db: Db) {
    let world = World::new(db);
    let (old, new) = (CallId::mint(), CallId::mint());
    world.done(open(same(old, "ann", Some("k")))).await;
    let retry = |id| NewCall { retry_unknown: true, ..same(id, "ann", Some("k")) };
    // It still runs.
    assert_eq!(world.write(open(retry(new))).await, Ok(Written::DuplicateKey));
    let abandoned = Abandoned::OfReplica("r1".into());
    let recovered = world.write(Record::Recovered { abandoned, at: UtcMillis(9) }).await;
    assert_eq!(recovered, Ok(Written::Recovered { interrupted: 0, unknown: 1 }));
    // Nobody said that it may be sent again, or something else is asked.
    assert_eq!(world.write(open(same(new, "ann", Some("k")))).await, Ok(Written::DuplicateKey));
    let other = NewCall { request_hash: "0".into(), ..retry(new) };
    assert_eq!(world.write(open(other)).await, Ok(Written::DuplicateKey));
    world.done(open(retry(new))).await;
    world.done(open(retry(new))).await;
    let keyed = world.store.load_call_by_key(&principal("ann"), &"k".into()).await.unwrap().unwrap();
    assert_eq!((keyed.id, keyed.state), (new, CallState::Dispatched));
    assert_eq!(state(&world, old).await.state, CallState::Unknown);
    assert_eq!(world.write(open(retry(CallId::mint()))).await, Ok(Written::DuplicateKey));
}

pub(crate) async fn a_dead_replicas_calls_are_closed(db: Db) {
    let world = World::new(db);
    let [waiting, sent, streaming, done, foreign] = [(); 5].map(|()| CallId::mint());
    world.done(Record::CallOpened(call(waiting, "ann", Some("w")), None)).await;
    world.done(open(call(sent, "ann", Some("s")))).await;
    world.done(open(call(streaming, "ann", None))).await;
    world.done(Record::CallStreaming { call: streaming, at: UtcMillis(2_500) }).await;
    world.done(open(call(done, "ann", None))).await;
    world.done(ended(done, 3_000)).await;
    world.done(open(NewCall { replica: "r2".into(), ..call(foreign, "ann", None) })).await;

    let recovered =
        || Record::Recovered { abandoned: Abandoned::OfReplica("r1".into()), at: UtcMillis(7_000) };
    assert_eq!(world.write(recovered()).await, Ok(Written::Recovered { interrupted: 1, unknown: 2 }));
    assert_eq!(world.write(recovered()).await, Ok(Written::Recovered { interrupted: 0, unknown: 0 }));

    let (never_sent, lost) = (state(&world, waiting).await, state(&world, sent).await);
    assert_eq!((never_sent.state, error(&never_sent).kind), (CallState::Interrupted, ErrorKind::Conflict));
    assert!(error(&never_sent).message.contains("Ask again"));
    assert_eq!((lost.state, error(&lost).kind), (CallState::Unknown, ErrorKind::Conflict));
    assert!(error(&lost).message.contains("exai/retryUnknown"));
    assert_eq!(state(&world, streaming).await.state, CallState::Unknown);
    assert_eq!(state(&world, done).await.state, CallState::Completed);
    assert_eq!(state(&world, foreign).await.state, CallState::Dispatched);
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM attempts WHERE state = 'unknown' AND ended_at = 7000", 2),
        ("SELECT count(*) AS n FROM attempts WHERE state = 'dispatched'", 1),
        ("SELECT count(*) AS n FROM calls WHERE interrupted_at = 7000 OR unknown_at = 7000", 3),
    ] {
        assert_eq!(world.db.number(sql).await, expected, "{sql}");
    }
    // The key of what was never sent is free; that of what was sent is not.
    world.done(open(call(CallId::mint(), "ann", Some("w")))).await;
    let again = open(call(CallId::mint(), "ann", Some("s")));
    assert_eq!(world.write(again).await, Ok(Written::DuplicateKey));
    // The outcome itself still replaces the lack of one.
    world.done(ended(sent, 8_000)).await;
    assert_eq!(state(&world, sent).await.state, CallState::Completed);
    assert_eq!(world.db.number("SELECT count(*) AS n FROM attempts WHERE state = 'unknown'").await, 1);
}

pub(crate) async fn a_lease_that_ran_out_is_an_abandoned_call(db: Db) {
    let world = World::new(db);
    let [waiting, sent, kept] = [(); 3].map(|()| CallId::mint());
    let leased = |id, replica: &str| NewCall {
        lease_until: UtcMillis(5_000),
        replica: replica.into(),
        ..call(id, "ann", None)
    };
    world.done(Record::CallOpened(leased(waiting, "gone"), None)).await;
    world.done(open(leased(sent, "gone"))).await;
    world.done(open(leased(kept, "alive"))).await;
    let expired = |before| Record::Recovered {
        abandoned: Abandoned::ExpiredBefore(UtcMillis(before)),
        at: UtcMillis(9_000),
    };
    assert_eq!(world.write(expired(5_000)).await, Ok(Written::Recovered { interrupted: 0, unknown: 0 }));
    world.done(Record::LeasesRenewed { calls: vec![kept], until: UtcMillis(20_000) }).await;
    assert_eq!(world.write(expired(5_001)).await, Ok(Written::Recovered { interrupted: 1, unknown: 1 }));
    assert_eq!(state(&world, kept).await.state, CallState::Dispatched);
    assert_eq!(state(&world, waiting).await.state, CallState::Interrupted);
    assert_eq!(world.db.number("SELECT lease_until AS n FROM calls WHERE replica = 'alive'").await, 20_000);
}

pub(crate) async fn a_closed_call_is_not_sent(db: Db) {
    let world = World::new(db);
    let id = CallId::mint();
    world.done(Record::CallOpened(call(id, "ann", None), None)).await;
    world.done(Record::AttemptOpened(attempt(id, 1))).await;
    world.done(Record::CallStreaming { call: id, at: UtcMillis(2_500) }).await;
    world.done(Record::AttemptOpened(attempt(id, 2))).await;
    let abandoned = Abandoned::OfReplica("r1".into());
    let recovered = world.write(Record::Recovered { abandoned, at: UtcMillis(9) }).await;
    assert_eq!(recovered, Ok(Written::Recovered { interrupted: 0, unknown: 1 }));
    // What stands may be written again; a further one is refused.
    world.done(Record::AttemptOpened(attempt(id, 2))).await;
    assert_eq!(world.write(Record::AttemptOpened(attempt(id, 3))).await, Err(WriteError::Refused));
    assert_eq!(world.db.number("SELECT count(*) AS n FROM attempts WHERE state = 'unknown'").await, 2);
    assert_eq!(state(&world, id).await.state, CallState::Unknown);
}

pub(crate) async fn the_end_of_a_call_that_may_not_stand_is_no_defect(db: Db) {
    let world = World::new(db);
    let missing = |may_be_missing| EndedCall { may_be_missing, ..end(CallId::mint(), None) };
    let absent = world.write(Record::CallEnded(Box::new(missing(true)))).await;
    assert_eq!(absent, Ok(Written::Absent(Absent::Call)), "who counts it hears that it is not there");
    let refused = world.write(Record::CallEnded(Box::new(missing(false)))).await;
    assert_eq!(refused, Err(WriteError::Refused));
}

pub(crate) async fn what_is_outdated_goes_in_steps(db: Db) {
    let world = World::new(db);
    let (old, new) = (10 * DAY_MS, 200 * DAY_MS);
    let conversation = ConversationId::mint();
    for accepted in [old, old, old, new] {
        let id = CallId::mint();
        let call = NewCall { accepted_at: UtcMillis(accepted), ..call(id, "ann", None) };
        world.done(open(call)).await;
        let turns = exchange(conversation, "ann", id, "x");
        let turns = NewExchange { at: UtcMillis(accepted), ..turns };
        let ended = EndedCall { ended_at: UtcMillis(accepted + 5), ..end(id, Some(turns)) };
        world.done(Record::CallEnded(Box::new(ended))).await;
    }
    let other = exchange(ConversationId::mint(), "ann", CallId::mint(), "old");
    let id = other.call;
    world.done(open(NewCall { accepted_at: UtcMillis(new), ..call(id, "ann", None) })).await;
    world
        .done(Record::CallEnded(Box::new(EndedCall { ended_at: UtcMillis(new), ..end(id, Some(other)) })))
        .await;
    let step = |results: i64, calls: i64, conversations: i64| {
        Record::Expired(Outdated {
            results: UtcMillis(results),
            calls: UtcMillis(calls),
            conversations: UtcMillis(conversations),
            sessions: UtcMillis(0),
            metric_minutes: UtcMillis(0),
            metric_hours: UtcMillis(0),
            events: UtcMillis(0),
            events_kept_max: 100_000,
            rows_max: 2,
        })
    };
    let count = |sql: &'static str| world.db.number(sql);
    // The answer goes when its end is old enough, two a step.
    assert_eq!(world.write(step(old + 5, 0, 0)).await, Ok(Written::Expired(0)));
    for gone in [2, 1, 0] {
        assert_eq!(world.write(step(old + 6, 0, 0)).await, Ok(Written::Expired(gone)));
    }
    assert_eq!(count("SELECT count(*) AS n FROM calls WHERE result IS NULL").await, 3);
    for gone in [2, 1, 0] {
        assert_eq!(world.write(step(0, new, 0)).await, Ok(Written::Expired(gone)));
    }
    assert_eq!(count("SELECT count(*) AS n FROM calls").await, 2);
    assert_eq!(count("SELECT count(*) AS n FROM attempts").await, 2, "attempts go with their calls");
    // One conversation had a turn lately.
    assert_eq!(world.write(step(0, 0, new)).await, Ok(Written::Expired(1)));
    assert_eq!(count("SELECT count(*) AS n FROM messages").await, 8);
}
