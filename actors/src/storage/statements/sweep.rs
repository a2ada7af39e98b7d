//! Writes about many rows at once: leases, the calls that a dead process left open, and what is kept no longer. Once for both
//! databases. SQLite uses a partial index only for its very condition: so the open states stand in each text, in one order.

use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::error::{CallError, ErrorKind};
use crate::ids::CallId;
use crate::storage::error::Refusal;
use crate::storage::rows::{Abandoned, AttemptState, CallState, Outdated};
use crate::storage::schema::{attempts, calls};
use crate::storage_writer::messages::Written;

/// Calls whose leases one statement renews.
const RENEWED_AT_ONCE: usize = 500;

/// A call that was never sent gives its key back: whoever asks again may use it.
const INTERRUPT_OF: &str = "UPDATE calls
    SET state = 'interrupted', interrupted_at = $1, error = $2, idempotency_key = NULL
    WHERE state IN ('accepted', 'dispatched', 'streaming') AND replica = $3
    AND state = 'accepted'";
const INTERRUPT_EXPIRED: &str = "UPDATE calls
    SET state = 'interrupted', interrupted_at = $1, error = $2, idempotency_key = NULL
    WHERE state IN ('accepted', 'dispatched', 'streaming') AND lease_until < $3
    AND state = 'accepted'";

const UNKNOW_OF: &str = "UPDATE calls SET state = 'unknown', unknown_at = $1, error = $2
    WHERE state IN ('accepted', 'dispatched', 'streaming') AND replica = $3
    AND state <> 'accepted' RETURNING id";
const UNKNOW_EXPIRED: &str = "UPDATE calls SET state = 'unknown', unknown_at = $1, error = $2
    WHERE state IN ('accepted', 'dispatched', 'streaming') AND lease_until < $3
    AND state <> 'accepted' RETURNING id";

/// Rows whose id one statement may name: far below SQLite's 32 766 parameters.
const IDS_MAX: usize = 1000;

const FORGET_RESULTS: &str = "UPDATE calls SET result = NULL WHERE id IN (
    SELECT id FROM calls WHERE result IS NOT NULL AND accepted_at < $1
        AND (completed_at IS NULL OR completed_at < $1) AND (unknown_at IS NULL OR unknown_at < $1) LIMIT $2)";
const DELETE_CALLS: &str =
    "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE accepted_at < $1 LIMIT $2)";
const DELETE_CONVERSATIONS: &str = "DELETE FROM conversations WHERE id IN (
    SELECT id FROM conversations WHERE updated_at < $1 LIMIT $2)";
const DELETE_SESSIONS: &str = "DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE connected_at < $1 AND (closed_at IS NULL OR closed_at < $1) LIMIT $2)";
const DELETE_MINUTES: &str = "DELETE FROM metrics_1min WHERE (window_start, metric, labels) IN (
    SELECT window_start, metric, labels FROM metrics_1min WHERE window_start < $1 LIMIT $2)";
const DELETE_HOURS: &str = "DELETE FROM metrics_1hour WHERE (window_start, metric, labels) IN (
    SELECT window_start, metric, labels FROM metrics_1hour WHERE window_start < $1 LIMIT $2)";
const DELETE_FLUSHES: &str =
    "DELETE FROM metrics_flush_log WHERE id IN (SELECT id FROM metrics_flush_log WHERE at < $1 LIMIT $2)";

const DELETE_EVENTS: &str = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < $1 LIMIT $2)";
/// SQLite numbers parameters as they appear, whatever they are called: so the bound comes first.
const DELETE_EVENTS_BEYOND: &str = "DELETE FROM events WHERE id IN (SELECT id FROM events
    WHERE at <= (SELECT at FROM events ORDER BY at DESC LIMIT 1 OFFSET $1) ORDER BY at LIMIT $2)";

#[derive(QueryableByName)]
struct Closed {
    #[diesel(sql_type = Text)]
    id: String,
}

/// A replica answers for its open calls until then.
pub(crate) async fn leases_renewed(
    conn: &mut Conn<'_>,
    live: &[CallId],
    until: i64,
) -> Result<Written, Refusal> {
    for some in live.chunks(RENEWED_AT_ONCE) {
        let ids = some.iter().map(CallId::to_string).collect::<Vec<_>>();
        let open = calls::table.filter(calls::id.eq_any(ids)).filter(calls::state.eq_any(CallState::OPEN));
        diesel::update(open).set(calls::lease_until.eq(until)).execute(conn).await?;
    }
    Ok(Written::Done)
}

/// Closes abandoned calls: what was never sent is `interrupted`, what was sent is `unknown`, and so are its attempts.
pub(crate) async fn recovered(
    conn: &mut Conn<'_>,
    abandoned: &Abandoned,
    at: i64,
) -> Result<Written, Refusal> {
    let (never_sent, sent) = (words_of(&never_sent()), words_of(&sent()));
    let (interrupted, closed) = match abandoned {
        Abandoned::OfReplica(replica) => {
            let interrupt = diesel::sql_query(INTERRUPT_OF)
                .bind::<BigInt, _>(at)
                .bind::<Text, _>(never_sent)
                .bind::<Text, _>(replica);
            let unknow = diesel::sql_query(UNKNOW_OF)
                .bind::<BigInt, _>(at)
                .bind::<Text, _>(sent)
                .bind::<Text, _>(replica);
            (interrupt.execute(conn).await?, unknow.load::<Closed>(conn).await?)
        }
        Abandoned::ExpiredBefore(before) => {
            let interrupt = diesel::sql_query(INTERRUPT_EXPIRED)
                .bind::<BigInt, _>(at)
                .bind::<Text, _>(never_sent)
                .bind::<BigInt, _>(before.0);
            let unknow = diesel::sql_query(UNKNOW_EXPIRED)
                .bind::<BigInt, _>(at)
                .bind::<Text, _>(sent)
                .bind::<BigInt, _>(before.0);
            (interrupt.execute(conn).await?, unknow.load::<Closed>(conn).await?)
        }
    };
    let unknown = closed.len();
    let ids = closed.into_iter().map(|call| call.id).collect::<Vec<_>>();
    for some in ids.chunks(IDS_MAX) {
        let open = attempts::table
            .filter(attempts::call_id.eq_any(some))
            .filter(attempts::state.eq(AttemptState::Dispatched.as_str()));
        diesel::update(open)
            .set((attempts::state.eq(AttemptState::Unknown.as_str()), attempts::ended_at.eq(at)))
            .execute(conn)
            .await?;
    }
    Ok(Written::Recovered { interrupted: rows(interrupted), unknown: rows(unknown) })
}

/// Takes away some of what is outdated.
pub(crate) async fn expired(conn: &mut Conn<'_>, outdated: &Outdated) -> Result<Written, Refusal> {
    let Outdated {
        results,
        calls,
        conversations,
        sessions,
        metric_minutes,
        metric_hours,
        events,
        events_kept_max,
        rows_max,
    } = outdated;
    let mut gone = 0;
    for (sql, bound) in [
        (FORGET_RESULTS, results.0),
        (DELETE_CALLS, calls.0),
        (DELETE_CONVERSATIONS, conversations.0),
        (DELETE_SESSIONS, sessions.0),
        (DELETE_MINUTES, metric_minutes.0),
        (DELETE_HOURS, metric_hours.0),
        (DELETE_FLUSHES, metric_minutes.0),
        (DELETE_EVENTS, events.0),
        (DELETE_EVENTS_BEYOND, i64::from(*events_kept_max)),
    ] {
        gone += diesel::sql_query(sql)
            .bind::<BigInt, _>(bound)
            .bind::<BigInt, _>(i64::from(*rows_max))
            .execute(conn)
            .await?;
    }
    Ok(Written::Expired(rows(gone)))
}

/// What the caller of a call that was never sent hears.
fn never_sent() -> CallError {
    CallError::new(ErrorKind::Conflict, "The call was interrupted before it was sent. Ask again.")
}

/// What the caller of a call that was sent hears.
fn sent() -> CallError {
    let message = "The call was sent, and the server stopped before it knew the answer. It may have been billed. It is \
                   sent again only when asked with `_meta[\"exai/retryUnknown\"]` set to true.";
    CallError::new(ErrorKind::Conflict, message)
}

fn words_of(error: &CallError) -> String {
    // An error of two texts has no reason not to be JSON; without it the state alone says what happened.
    serde_json::to_string(error).unwrap_or_default()
}

fn rows(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
