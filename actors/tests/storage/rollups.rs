//! The sums of the metrics in the database: a row replaces what stands, the flush log tells of failures, and the books are counted.

use std::sync::Arc;

use exai_actors::clock::UtcMillis;
use exai_actors::ids::CallId;
use exai_actors::storage::rows::{FailedFlushes, MetricsBatch, Rollup, Span};
use exai_actors::storage_writer::messages::Record;

use crate::records::{attempt, call, end};
use crate::world::{Db, World};

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
    MetricsBatch { id: uuid::Uuid::now_v7(), at: UtcMillis(61_000), rows, failed }
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
