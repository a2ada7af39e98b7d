//! How the flush log tells one life of a replica's process from the next, and what the rollups lack of one that was killed. Once for
//! both databases.

use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

use super::Conn;
use super::rollup::{Line, log_line};
use crate::storage::error::Refusal;
use crate::storage::rows::{LIFE_LABEL, Life, NewLife, Span};
use crate::storage::schema::metrics_flush_log as log;
use crate::storage_writer::messages::Written;

/// A life began. The word sorts behind all others: where it stands beside them in one millisecond, it is the newest.
const STARTED: &str = "started";
/// A life ended, and the rollups have every call of it.
const ENDED: &str = "ended";
/// A life ended, and the rollups lack some.
const LOST: &str = "lost";

/// How far before its last flush the rollups of a life are looked at. Only the last hours can lack anything; the look stays short.
const LOOKED_BACK_MS: i64 = 24 * 60 * 60 * 1000;
/// How long before its end a call may have been accepted, far beyond every deadline.
const ACCEPTED_WITHIN_MS: i64 = 24 * 60 * 60 * 1000;

/// What was refused for want of the database, left at a shutdown or never had a row is on neither side.
const IN_THE_JOURNAL: &str = r#"SELECT COUNT(*) AS n FROM calls WHERE replica = $1 AND accepted_at >= $2
    AND state IN ('completed', 'failed', 'cancelled') AND COALESCE(completed_at, failed_at, cancelled_at) >= $3
    AND (error IS NULL OR error NOT LIKE '{"kind":"storage_unavailable"%')"#;
const IN_THE_ROLLUPS: &str = r#"SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) AS n FROM metrics_1hour
    WHERE metric = 'exai_calls_total' AND window_start >= $1 AND labels LIKE $2
    AND labels NOT LIKE '%"outcome":"refused%' AND labels NOT LIKE '%"outcome":"replayed"%'
    AND labels NOT LIKE '%"outcome":"draining"%' AND labels NOT LIKE '%"outcome":"storage_unavailable"%'"#;

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Closes the last life of each replica whose process has ended, and opens a new one.
pub(crate) async fn began(conn: &mut Conn<'_>, new: &NewLife) -> Result<Written, Refusal> {
    let mut lost = 0;
    for replica in &new.ended {
        let newest = log::table
            .filter(log::replica.eq(replica))
            .order((log::at.desc(), log::status.desc()))
            .select((log::life.assume_not_null(), log::status))
            .first::<(String, String)>(conn)
            .await
            .optional()?;
        if let Some((id, status)) = newest
            && id != new.life.id
            && ![ENDED, LOST].contains(&status.as_str())
        {
            lost += closed(conn, Life { replica: replica.clone(), id }, new.at.0).await?;
        }
    }
    let line = Line {
        id: format!("{}-{STARTED}", new.life.id),
        at: new.at.0,
        rows: 0,
        status: STARTED,
        error: None,
    };
    log_line(conn, &new.life, line).await?;
    Ok(Written::LifeBegan { lost })
}

/// Says of a life how it ended; how many of its calls the rollups lack.
async fn closed(conn: &mut Conn<'_>, life: Life, at: i64) -> Result<u64, Refusal> {
    let lost = lacking(conn, &life).await?;
    let (status, error) = match lost {
        0 => (ENDED, None),
        _ => (
            LOST,
            Some("killed before its last flush: so many calls of the journal are in no rollup".to_owned()),
        ),
    };
    let rows = i32::try_from(lost).unwrap_or(i32::MAX);
    log_line(conn, &life, Line { id: format!("{}-{ENDED}", life.id), at, rows, status, error }).await?;
    Ok(lost)
}

/// Calls that ended and that the rollups do not have. Of a life of more than a day, a call that ended in the last second before the hour
/// may be counted in that hour, and make the number too small by one.
async fn lacking(conn: &mut Conn<'_>, life: &Life) -> Result<u64, Refusal> {
    let stored = log::table
        .filter(log::replica.eq(&life.replica))
        .filter(log::life.eq(&life.id))
        .filter(log::status.eq_any(["ok", STARTED]));
    let times = stored.select((diesel::dsl::min(log::at), diesel::dsl::max(log::at)));
    let (Some(first), Some(last)) = times.first::<(Option<i64>, Option<i64>)>(conn).await? else {
        return Ok(0);
    };
    let looked_back = first.max(last - LOOKED_BACK_MS);
    let hour = looked_back - looked_back.rem_euclid(Span::Hour.ms());
    let since = hour.max(first);
    let journal = diesel::sql_query(IN_THE_JOURNAL)
        .bind::<Text, _>(&life.replica)
        .bind::<BigInt, _>(since - ACCEPTED_WITHIN_MS)
        .bind::<BigInt, _>(since)
        .get_result::<Counted>(conn)
        .await?;
    let named = format!("%\"{LIFE_LABEL}\":\"{}\"%", life.id);
    let rollups = diesel::sql_query(IN_THE_ROLLUPS)
        .bind::<BigInt, _>(hour)
        .bind::<Text, _>(named)
        .get_result::<Counted>(conn)
        .await?;
    Ok(u64::try_from(journal.n - rollups.n).unwrap_or(0))
}
