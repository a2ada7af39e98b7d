//! The sums of the metrics in the database: a row replaces what stands, the flush log tells of failures, and the books are counted.

use std::sync::Arc;

use exai_actors::clock::UtcMillis;
use exai_actors::ids::CallId;
use exai_actors::storage::rows::{FailedFlushes, Life, MetricsBatch, NewLife, Rollup, Span};
use exai_actors::storage_writer::messages::{Record, Written};

use crate::records::{attempt, call, end};
use crate::world::{Db, World};

fn life(id: &str) -> Life {
    Life { replica: "r1".to_owned(), id: id.to_owned() }
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
    MetricsBatch { id: uuid::Uuid::now_v7(), life: life("l1"), at: UtcMillis(61_000), rows, failed }
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

/// Three calls ended, of which the last flush has one; what was refused is not in the journal, and not missed there.
pub(crate) async fn a_life_that_was_killed_lacks_what_its_last_flush_did_not_have(db: Db) {
    let world = World::new(db);
    let begin = |id, at| {
        Record::LifeBegan(NewLife {
            life: life(id),
            ended: vec!["r1".to_owned(), "r2".to_owned()],
            at: UtcMillis(at),
        })
    };
    assert_eq!(world.write(begin("l1", 500)).await, Ok(Written::LifeBegan { lost: 0 }), "the first of all");
    for _ in 0..3 {
        let id = CallId::mint();
        world.done(Record::CallOpened(call(id, "ann", None), Some(attempt(id, 1)))).await;
        world.done(Record::CallEnded(Box::new(end(id, None)))).await;
    }
    let rollup = |outcome: &str, count| Rollup {
        span: Span::Hour,
        start: UtcMillis(0),
        metric: "exai_calls_total".to_owned(),
        labels: format!(r#"{{"life":"l1","outcome":"{outcome}","tool":"chat"}}"#),
        count,
        sum: 0.0,
        shape: None,
    };
    let rows = vec![rollup("completed", 1), rollup("refused_draining", 7)];
    let stored =
        MetricsBatch { id: uuid::Uuid::now_v7(), life: life("l1"), at: UtcMillis(2_900), rows, failed: None };
    world.done(Record::MetricsFlushed(Arc::new(stored))).await;
    assert_eq!(world.write(begin("l2", 9_000)).await, Ok(Written::LifeBegan { lost: 2 }));
    assert_eq!(world.write(begin("l2", 9_000)).await, Ok(Written::LifeBegan { lost: 0 }), "asked again");
    assert_eq!(
        world.write(begin("l3", 9_000)).await,
        Ok(Written::LifeBegan { lost: 0 }),
        "within the millisecond"
    );
    let told = "SELECT COUNT(*) AS n FROM metrics_flush_log WHERE replica = 'r1' AND
        (life = 'l1' AND status = 'lost' AND batch_size = 2 OR life = 'l2' AND status = 'ended')";
    assert_eq!(world.db.number(told).await, 2);
}
