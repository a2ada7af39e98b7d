//! How a call and its upstream requests enter the journal, once for both databases. Each statement may be repeated, as all writes.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::ids::CallId;
use crate::storage::error::Refusal;
use crate::storage::job::Rules;
use crate::storage::rows::{CallState, NewAttempt, NewCall};
use crate::storage::schema::{attempts, calls};
use crate::storage::text::storable;
use crate::storage_writer::messages::Written;

/// Calls that may be left out of the look for an answer that nobody got.
const ON_ITS_WAY_MAX: usize = 16;

/// Writes a call, with its first attempt where it goes at once; unless the principal has its answer already.
pub(crate) async fn call_opened(
    conn: &mut Conn<'_>,
    call: &NewCall,
    attempt: Option<&NewAttempt>,
    rules: Rules,
) -> Result<Written, Refusal> {
    if call.idempotency_key.is_none()
        && let Some(waiting) = undelivered(conn, call, rules.result_ttl).await?
        && !stands(conn, call).await?
    {
        return Ok(Written::Undelivered(waiting));
    }
    let mut inserted = insert_call(conn, call, attempt).await?;
    if inserted == 0 && call.retry_unknown && takes_key_over(conn, call).await? {
        inserted = insert_call(conn, call, attempt).await?;
    }
    // Either the key is taken, or this very call stands already.
    if inserted == 0 && !stands(conn, call).await? {
        return Ok(Written::DuplicateKey);
    }
    if let Some(attempt) = attempt {
        insert_attempt(conn, attempt).await?;
    }
    Ok(Written::Done)
}

/// The newest answer to the same request of the same principal that never reached anyone.
async fn undelivered(
    conn: &mut Conn<'_>,
    call: &NewCall,
    result_ttl: Duration,
) -> Result<Option<CallId>, Refusal> {
    // A crowd that asks the same at once has no lost answer among it, and is not to be slowed by looking for one.
    if call.on_its_way.len() > ON_ITS_WAY_MAX {
        return Ok(None);
    }
    let ttl_ms = i64::try_from(result_ttl.as_millis()).unwrap_or(i64::MAX);
    let not_these = call.on_its_way.iter().chain([&call.id]).map(CallId::to_string).collect::<Vec<_>>();
    let found = calls::table
        .filter(calls::principal.eq(call.principal.as_str()))
        .filter(calls::request_hash.eq(storable(&call.request_hash)))
        // The words of the partial index, so that it serves.
        .filter(calls::delivered_at.is_null().and(calls::result.is_not_null()))
        .filter(calls::state.eq(CallState::Completed.as_str()))
        .filter(calls::completed_at.gt(call.accepted_at.0.saturating_sub(ttl_ms)))
        .filter(calls::id.ne_all(not_these))
        .order((calls::completed_at.desc(), calls::id.desc()))
        .select(calls::id)
        .first::<String>(conn)
        .await
        .optional()?;
    // An id that is none of ours names no call that could be handed out.
    Ok(found.and_then(|id| id.parse().ok()))
}

/// Whether this very call is in the journal: the acknowledgement of its first writing was lost.
async fn stands(conn: &mut Conn<'_>, call: &NewCall) -> QueryResult<bool> {
    let same = calls::table.find(call.id.to_string()).filter(calls::principal.eq(call.principal.as_str()));
    Ok(same.count().get_result::<i64>(conn).await? > 0)
}

/// Takes the key from a call of the same request whose outcome nobody knows; that call stays `unknown`.
async fn takes_key_over(conn: &mut Conn<'_>, call: &NewCall) -> QueryResult<bool> {
    let Some(key) = &call.idempotency_key else { return Ok(false) };
    let unknown = calls::table
        .filter(calls::principal.eq(call.principal.as_str()))
        .filter(calls::idempotency_key.eq(key.as_str()))
        .filter(calls::request_hash.eq(storable(&call.request_hash)))
        .filter(calls::state.eq(CallState::Unknown.as_str()))
        .filter(calls::id.ne(call.id.to_string()));
    let freed = calls::idempotency_key.eq(None::<&str>);
    Ok(diesel::update(unknown).set(freed).execute(conn).await? > 0)
}

async fn insert_call(
    conn: &mut Conn<'_>,
    call: &NewCall,
    attempt: Option<&NewAttempt>,
) -> QueryResult<usize> {
    let state = if attempt.is_some() { CallState::Dispatched } else { CallState::Accepted };
    diesel::insert_into(calls::table)
        .values((
            calls::id.eq(call.id.to_string()),
            calls::principal.eq(call.principal.as_str()),
            calls::session_id.eq(call.session.to_string()),
            calls::conversation_id.eq(call.conversation.map(|conversation| conversation.to_string())),
            calls::tool.eq(storable(call.tool.as_str())),
            calls::request_hash.eq(storable(&call.request_hash)),
            calls::idempotency_key.eq(call.idempotency_key.as_ref().map(|key| key.as_str())),
            calls::state.eq(state.as_str()),
            calls::replica.eq(storable(&call.replica)),
            calls::lease_until.eq(call.lease_until.0),
            calls::accepted_at.eq(call.accepted_at.0),
            calls::dispatched_at.eq(attempt.map(|attempt| attempt.dispatched_at.0)),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await
}

async fn insert_attempt(conn: &mut Conn<'_>, attempt: &NewAttempt) -> QueryResult<usize> {
    diesel::insert_into(attempts::table)
        .values((
            attempts::call_id.eq(attempt.call.to_string()),
            attempts::n.eq(attempt.n),
            attempts::provider.eq(attempt.provider.as_str()),
            attempts::model.eq(attempt.model.as_str()),
            attempts::host.eq(&attempt.host),
            attempts::state.eq("dispatched"),
            attempts::dispatched_at.eq(attempt.dispatched_at.0),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await
}

/// Writes a further attempt of an open call. One of a call that has ended meanwhile, here or on another replica, must not be sent.
pub(crate) async fn attempt_opened(conn: &mut Conn<'_>, attempt: &NewAttempt) -> Result<Written, Refusal> {
    let id = attempt.call.to_string();
    let accepted = calls::table.find(&id).filter(calls::state.eq(CallState::Accepted.as_str()));
    let dispatched = calls::state.eq(CallState::Dispatched.as_str());
    let first = diesel::update(accepted)
        .set((dispatched, calls::dispatched_at.eq(attempt.dispatched_at.0)))
        .execute(conn)
        .await?;
    if first == 0 {
        // The update locks the row, so that nobody closes the call before this is committed.
        let open = calls::table.find(&id).filter(calls::state.eq_any(CallState::OPEN));
        let further = diesel::update(open).set(dispatched).execute(conn).await?;
        if further == 0 {
            let same = attempts::table.find((&id, attempt.n)).count().get_result::<i64>(conn).await? > 0;
            return if same { Ok(Written::Done) } else { Err(Refusal::Missing("open call")) };
        }
    }
    insert_attempt(conn, attempt).await?;
    Ok(Written::Done)
}
