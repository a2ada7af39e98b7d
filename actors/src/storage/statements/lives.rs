//! How the flush log tells one life of a replica's process from the next, and what the rollups lack of one that was killed. Once for
//! both databases.

use diesel::QueryableByName;
use diesel::dsl::min;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

use super::Conn;
use super::rollup::{Line, log_line};
use crate::clock::UtcMillis;
use crate::storage::error::{Refusal, StorageError};
use crate::storage::rows::{EndedLife, LIFE_LABEL, Life, Span};
use crate::storage::schema::metrics_flush_log as log;
use crate::storage_writer::messages::Written;

/// How far before its last flush the rollups of a life are looked at. Only those since can lack anything; the look stays short.
const LOOKED_BACK_MS: i64 = Span::Hour.ms();
/// How long before its end a call may have been accepted: its longest wait and its longest deadline.
const ACCEPTED_WITHIN_MS: i64 = 2 * Span::Hour.ms();
/// Lives that are looked at, at once; those before them wait for the next look.
const LIVES_MAX: i64 = 16;

/// Those of a replica that have a line in the log, and none of their end.
const UNCLOSED: &str =
    "SELECT life, MIN(at) AS first, MAX(CASE WHEN status IN ('ok', 'started') THEN at ELSE 0 END) AS last
    FROM metrics_flush_log WHERE replica = $1 AND life <> $2 GROUP BY life
    HAVING SUM(CASE WHEN status IN ('ended', 'lost') THEN 1 ELSE 0 END) = 0 AND MIN(at) <= $3
    ORDER BY MIN(at) DESC LIMIT $4";

/// What was refused for want of the database, left at a shutdown or never had a row is on neither side.
const IN_THE_JOURNAL: &str = r#"SELECT COUNT(*) AS n FROM calls WHERE replica = $1 AND accepted_at >= $2
    AND state IN ('completed', 'failed', 'cancelled')
    AND COALESCE(completed_at, failed_at, cancelled_at) >= $3 AND COALESCE(completed_at, failed_at, cancelled_at) < $4
    AND (error IS NULL OR error NOT LIKE '{"kind":"storage_unavailable"%' AND error NOT LIKE '{"kind":"draining"%')"#;
const IN_THE_ROLLUPS: &str = r#"SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) AS n FROM metrics_1hour
    WHERE metric = 'exai_calls_total' AND window_start >= $1 AND labels LIKE $2
    AND labels NOT LIKE '%"outcome":"refused%' AND labels NOT LIKE '%"outcome":"replayed"%'
    AND labels NOT LIKE '%"outcome":"draining"%' AND labels NOT LIKE '%"outcome":"storage_unavailable"%'"#;

#[derive(QueryableByName)]
struct Unclosed {
    #[diesel(sql_type = Text)]
    life: String,
    #[diesel(sql_type = BigInt)]
    first: i64,
    #[diesel(sql_type = BigInt)]
    last: i64,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// A life begins: from here on the log knows of it.
pub(crate) async fn began(conn: &mut Conn<'_>, life: &Life, at: UtcMillis) -> Result<Written, Refusal> {
    let line = Line { id: format!("{}-started", life.id), at: at.0, rows: 0, status: "started", error: None };
    log_line(conn, life, line).await?;
    Ok(Written::Done)
}

/// A life has ended: whether the rollups have every call of it, or lack some. Written twice, it stands there once.
pub(crate) async fn ended(conn: &mut Conn<'_>, ended: &EndedLife, at: UtcMillis) -> Result<Written, Refusal> {
    let rows = i32::try_from(ended.lost).unwrap_or(i32::MAX);
    let (status, error) = match ended.lost {
        0 => ("ended", None),
        _ => (
            "lost",
            Some("killed before its last flush: so many calls of the journal are in no rollup".to_owned()),
        ),
    };
    let line = Line { id: format!("{}-ended", ended.life.id), at: at.0, rows, status, error };
    log_line(conn, &ended.life, line).await?;
    Ok(Written::Done)
}

/// The lives of these replicas that began before `own` did and have no word of their end in the log, and what the rollups lack of each.
pub(crate) async fn unclosed(
    conn: &mut Conn<'_>,
    replicas: Vec<String>,
    own: String,
    before: UtcMillis,
) -> Result<Vec<EndedLife>, StorageError> {
    let failed = |source| StorageError::Query { operation: "look at the lives of replicas", source };
    let mut found = Vec::new();
    for replica in replicas {
        let lives = diesel::sql_query(UNCLOSED)
            .bind::<Text, _>(&replica)
            .bind::<Text, _>(&own)
            .bind::<BigInt, _>(before.0)
            .bind::<BigInt, _>(LIVES_MAX)
            .load::<Unclosed>(conn)
            .await
            .map_err(failed)?;
        for life in lives {
            let lost = lacking(conn, &replica, &life).await.map_err(failed)?;
            found.push(EndedLife { life: Life { replica: replica.clone(), id: life.life }, lost });
        }
    }
    Ok(found)
}

/// Calls that ended and that the rollups do not have. Of a life of more than an hour, a call that ended in the last second before the
/// first hour that is looked at may be counted in it, and make the number too small by one.
async fn lacking(conn: &mut Conn<'_>, replica: &str, life: &Unclosed) -> QueryResult<u64> {
    let later = log::table.filter(log::replica.eq(replica)).filter(log::status.eq("started"));
    let until = later.filter(log::at.gt(life.last)).select(min(log::at)).first::<Option<i64>>(conn).await?;
    let looked_back = life.first.max(life.last - LOOKED_BACK_MS);
    let hour = looked_back - looked_back.rem_euclid(Span::Hour.ms());
    let since = hour.max(life.first);
    let journal = diesel::sql_query(IN_THE_JOURNAL)
        .bind::<Text, _>(replica)
        .bind::<BigInt, _>(since - ACCEPTED_WITHIN_MS)
        .bind::<BigInt, _>(since)
        .bind::<BigInt, _>(until.unwrap_or(i64::MAX))
        .get_result::<Counted>(conn)
        .await?;
    let named = format!("%\"{LIFE_LABEL}\":\"{}\"%", life.life);
    let rollups = diesel::sql_query(IN_THE_ROLLUPS)
        .bind::<BigInt, _>(hour)
        .bind::<Text, _>(named)
        .get_result::<Counted>(conn)
        .await?;
    Ok(u64::try_from(journal.n - rollups.n).unwrap_or(0))
}
