//! The sums of the metrics in the database: a row replaces what stands, the flush log tells of failures, and the books are counted.

use std::sync::Arc;

use exai_actors::clock::UtcMillis;
use exai_actors::ids::CallId;
use exai_actors::storage::rows::{
    CallState, EndedCall, EndedLife, FailedFlushes, Life, MetricsBatch, NewCall, Rollup, Span,
};
use exai_actors::storage_writer::messages::Record;

use crate::records::{attempt, call, end};
use crate::world::{Db, World};

fn life(replica: &str, id: &str) -> Life {
    Life { replica: replica.to_owned(), id: id.to_owned() }
}

fn batch(count: i64, failed: Option<FailedFlushes>) -> MetricsBatch {
    let row = |span, shape| Rollup {
        span,
        start: UtcMillis(60_000),
        metric: "exai_calls_total".to_owned(),
        labels: r#"{"life":"l1","tool":"chat"}"#.to_owned(),
        count,
        sum: 1.5,
        shape,
    };
    let rows = vec![row(Span::Minute, Some([0.1, 0.2, 0.3, 0.4, 0.5])), row(Span::Hour, None)];
    MetricsBatch { id: uuid::Uuid::now_v7(), life: life("r1", "l1"), at: UtcMillis(61_000), rows, failed }
}

pub(crate) async fn a_batch_written_twice_stands_once(db: Db) {
    let world = World::new(db);
    let first = Record::MetricsFlushed(Arc::new(batch(3, None)));
    world.done(first.clone()).await;
    world.done(first).await;
    let failed = FailedFlushes { since: UtcMillis(1), times: 2, error: "away".to_owned() };
    world.done(Record::MetricsFlushed(Arc::new(batch(5, Some(failed))))).await;
    assert_eq!(
        world
            .db
            .number("SELECT CAST(SUM(count) AS BIGINT) AS n FROM metrics_1min WHERE max = 0.5 AND p50 = 0.2")
            .await,
        5
    );
    assert_eq!(
        world.db.number("SELECT CAST(SUM(count) AS BIGINT) AS n FROM metrics_1hour WHERE p50 IS NULL").await,
        5
    );
    assert_eq!(world.db.number("SELECT COUNT(*) AS n FROM metrics_flush_log WHERE status = 'ok'").await, 2);
    let told =
        "SELECT COUNT(*) AS n FROM metrics_flush_log WHERE status = 'failed' AND error LIKE '2 times%away'";
    assert_eq!(world.db.number(told).await, 1);
}

pub(crate) async fn the_books_are_those_of_one_life(db: Db) {
    let world = World::new(db);
    let id = CallId::mint();
    world.done(Record::CallOpened(call(id, "ann", None), Some(attempt(id, 1)))).await;
    world.done(Record::CallEnded(Box::new(end(id, None)))).await;
    world.done(Record::MetricsFlushed(Arc::new(batch(3, None)))).await;
    let books = world.store.books("r1", UtcMillis(1_000), "l1").await.unwrap();
    assert_eq!(books.calls, [("chat".to_owned(), "completed".to_owned(), 1)]);
    let asked = ("kimi".to_owned(), "kimi-k2.6".to_owned(), "completed".to_owned(), 1);
    assert_eq!((books.attempts, books.rollups.len(), books.rollups[0].2), (vec![asked], 1, 3));
    let other = world.store.books("r1", UtcMillis(1_001), "l2").await.unwrap();
    assert!(other.calls.is_empty() && other.attempts.is_empty() && other.rollups.is_empty());
}

/// What a flush at 2 900 has of the life `l1` of `r1`, which began at 500.
fn flushed(outcomes: &[(&str, i64)]) -> Record {
    let rollup = |(outcome, count): &(&str, i64)| Rollup {
        span: Span::Hour,
        start: UtcMillis(0),
        metric: "exai_calls_total".to_owned(),
        labels: format!(r#"{{"life":"l1","outcome":"{outcome}","tool":"chat"}}"#),
        count: *count,
        sum: 0.0,
        shape: None,
    };
    let rows = outcomes.iter().map(rollup).collect();
    let (id, life) = (uuid::Uuid::now_v7(), life("r1", "l1"));
    Record::MetricsFlushed(Arc::new(MetricsBatch { id, life, at: UtcMillis(2_900), rows, failed: None }))
}

/// Opens a call of that replica, and ends it like this.
async fn ended(world: &World, replica: &str, end_as: impl FnOnce(&mut EndedCall)) {
    let id = CallId::mint();
    let opened = NewCall { replica: replica.to_owned(), ..call(id, "ann", None) };
    world.done(Record::CallOpened(opened, Some(attempt(id, 1)))).await;
    let mut ended = end(id, None);
    end_as(&mut ended);
    world.done(Record::CallEnded(Box::new(ended))).await;
}

async fn unclosed(world: &World, own: &str, began: i64) -> Vec<(String, u64)> {
    let replicas = ["r1".to_owned(), "r2".to_owned()];
    let found = world.store.unclosed_lives(&replicas, &life("r1", own), UtcMillis(began)).await.unwrap();
    found.into_iter().map(|ended| (ended.life.id, ended.lost)).collect()
}

/// Five calls are on both sides, or would be: two of them are in the last flush. What never had a row, was refused for want of the
/// database, was left at a shutdown, is open, is another replica's or is of a later life is on neither.
pub(crate) async fn a_life_that_was_killed_lacks_what_its_last_flush_did_not_have(db: Db) {
    let world = World::new(db);
    let begin = |replica, id, at| Record::LifeBegan(life(replica, id), UtcMillis(at));
    world.done(begin("r1", "l1", 500)).await;
    world.done(begin("r2", "other", 600)).await;
    for _ in 0..3 {
        ended(&world, "r1", |_| ()).await;
    }
    let failed = |error: &str| {
        let error = error.to_owned();
        move |end: &mut EndedCall| (end.state, end.error) = (CallState::Failed, Some(error))
    };
    ended(&world, "r1", failed(r#"{"kind":"upstream_error"}"#)).await;
    ended(&world, "r1", |end| end.state = CallState::Cancelled).await;
    ended(&world, "r1", failed(r#"{"kind":"storage_unavailable"}"#)).await;
    ended(&world, "r1", failed(r#"{"kind":"draining"}"#)).await;
    ended(&world, "r1", |end| end.ended_at = UtcMillis(8_000)).await;
    ended(&world, "r2", |_| ()).await;
    let open = CallId::mint();
    world.done(Record::CallOpened(call(open, "ann", None), Some(attempt(open, 1)))).await;
    let never_had_a_row =
        [("refused_draining", 7), ("replayed", 7), ("draining", 7), ("storage_unavailable", 7)];
    world.done(flushed(&[&[("completed", 2)], &never_had_a_row[..]].concat())).await;

    world.done(begin("r1", "l2", 7_000)).await;
    let found = unclosed(&world, "l2", 7_000).await;
    assert_eq!(found, [("l1".to_owned(), 3), ("other".to_owned(), 1)]);
    for (id, lost) in found {
        let replica = if id == "l1" { "r1" } else { "r2" };
        let closed = Record::LifeEnded(EndedLife { life: life(replica, &id), lost }, UtcMillis(7_001));
        world.done(closed.clone()).await;
        world.done(closed).await;
    }
    let told = "SELECT COUNT(*) AS n FROM metrics_flush_log WHERE status = 'lost' AND at = 7001 AND
        (life = 'l1' AND replica = 'r1' AND batch_size = 3 OR life = 'other' AND replica = 'r2' AND batch_size = 1)";
    assert_eq!(world.db.number(told).await, 2);
    assert_eq!(unclosed(&world, "l2", 7_000).await, [], "each is closed once");
    world.done(begin("r1", "l3", 9_000)).await;
    assert_eq!(unclosed(&world, "l3", 9_000).await, [("l2".to_owned(), 1)], "the call that ended at 8 000");
}

/// Of a life of many hours, only the last are looked at, and what they have.
pub(crate) async fn only_the_last_hours_of_a_long_life_are_looked_at(db: Db) {
    const HOUR: i64 = 3_600_000;
    let world = World::new(db);
    world.done(Record::LifeBegan(life("r1", "l1"), UtcMillis(500))).await;
    ended(&world, "r1", |_| ()).await;
    let (id, of) = (uuid::Uuid::now_v7(), life("r1", "l1"));
    let stored = MetricsBatch { id, life: of, at: UtcMillis(30 * HOUR), rows: Vec::new(), failed: None };
    world.done(Record::MetricsFlushed(Arc::new(stored))).await;
    assert_eq!(unclosed(&world, "l2", 31 * HOUR).await, [("l1".to_owned(), 0)]);
    assert_eq!(unclosed(&world, "l0", 499).await, [], "who began before it has nothing to say of it");
}
