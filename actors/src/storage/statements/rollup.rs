//! How the sums of the metrics are written, once for both databases: a row replaces what stands, and the flush log says how it went.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::storage::error::Refusal;
use crate::storage::rows::{Life, MetricsBatch, Rollup, Span};
use crate::storage::schema::metrics_flush_log;
use crate::storage::text::storable;
use crate::storage_writer::messages::Written;

const MINUTE: &str = "INSERT INTO metrics_1min
    (window_start, metric, labels, count, sum, min, p50, p95, p99, max) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (window_start, metric, labels) DO UPDATE SET count = excluded.count, sum = excluded.sum,
    min = excluded.min, max = excluded.max, p50 = excluded.p50, p95 = excluded.p95, p99 = excluded.p99";
const HOUR: &str = "INSERT INTO metrics_1hour
    (window_start, metric, labels, count, sum, min, p50, p95, p99, max) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (window_start, metric, labels) DO UPDATE SET count = excluded.count, sum = excluded.sum,
    min = excluded.min, max = excluded.max, p50 = excluded.p50, p95 = excluded.p95, p99 = excluded.p99";

/// Writes a batch and its lines in the flush log.
pub(crate) async fn flushed(conn: &mut Conn<'_>, batch: &MetricsBatch) -> Result<Written, Refusal> {
    super::rollups(conn, &batch.rows).await?;
    let rows = i32::try_from(batch.rows.len()).unwrap_or(i32::MAX);
    if let Some(failed) = &batch.failed {
        let error = format!("{} times in a row, the last time: {}", failed.times, failed.error);
        let id = format!("{}-failed", batch.id);
        let line = Line { id, at: failed.since.0, rows, status: "failed", error: Some(error) };
        log_line(conn, &batch.life, line).await?;
    }
    let line = Line { id: batch.id.to_string(), at: batch.at.0, rows, status: "ok", error: None };
    log_line(conn, &batch.life, line).await?;
    Ok(Written::Done)
}

/// Writes one window's sum of one metric.
pub(crate) async fn rollup(conn: &mut Conn<'_>, row: &Rollup) -> Result<(), Refusal> {
    let statement = match row.span {
        Span::Minute => MINUTE,
        Span::Hour => HOUR,
    };
    let shape = |n: usize| row.shape.map(|shape| shape[n]);
    diesel::sql_query(statement)
        .bind::<BigInt, _>(row.start.0)
        .bind::<Text, _>(&row.metric)
        .bind::<Text, _>(storable(&row.labels))
        .bind::<BigInt, _>(row.count)
        .bind::<Double, _>(row.sum)
        .bind::<Nullable<Double>, _>(shape(0))
        .bind::<Nullable<Double>, _>(shape(1))
        .bind::<Nullable<Double>, _>(shape(2))
        .bind::<Nullable<Double>, _>(shape(3))
        .bind::<Nullable<Double>, _>(shape(4))
        .execute(conn)
        .await?;
    Ok(())
}

/// A line of the flush log.
pub(crate) struct Line {
    /// Its own name: written twice, it stands there once.
    pub(crate) id: String,
    /// When what it tells of happened.
    pub(crate) at: i64,
    /// How many rows of the rollups it is about, or calls that they lack.
    pub(crate) rows: i32,
    /// In one word.
    pub(crate) status: &'static str,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

/// Writes a line of that life.
pub(crate) async fn log_line(conn: &mut Conn<'_>, life: &Life, line: Line) -> Result<(), Refusal> {
    diesel::insert_into(metrics_flush_log::table)
        .values((
            metrics_flush_log::id.eq(line.id),
            metrics_flush_log::at.eq(line.at),
            metrics_flush_log::batch_size.eq(line.rows),
            metrics_flush_log::status.eq(line.status),
            metrics_flush_log::error.eq(line.error),
            metrics_flush_log::replica.eq(&life.replica),
            metrics_flush_log::life.eq(&life.id),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(())
}
