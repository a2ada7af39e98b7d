//! How a record is written, once for both databases. Every statement may be repeated: a record that stands already is `Done`
//! again, because a commit whose acknowledgement was lost is written a second time.

use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::{Conn, acknowledge, events, lives, open, rollup, sweep};
use crate::storage::codes::role_word;
use crate::storage::error::Refusal;
use crate::storage::job::Rules;
use crate::storage::rows::{
    AttemptState, CallState, EndedAttempt, EndedCall, EndedSession, NewExchange, NewSession,
};
use crate::storage::schema::{attempts, calls, conversations, messages, sessions, storage_probe};
use crate::storage::text::storable;
use crate::storage_writer::messages::{Absent, Record, Written};

/// Starts a transaction; on SQLite with `IMMEDIATE`, so that the wait for the lock is at the start and not in the middle.
pub(crate) async fn begin(conn: &mut Conn<'_>, sql: &str) -> QueryResult<()> {
    conn.batch_execute(sql).await
}

/// Makes everything since `begin` durable.
pub(crate) async fn commit(conn: &mut Conn<'_>) -> QueryResult<()> {
    conn.batch_execute("COMMIT").await
}

/// Takes everything since `begin` back.
pub(crate) async fn rollback(conn: &mut Conn<'_>) -> QueryResult<()> {
    conn.batch_execute("ROLLBACK").await
}

/// A write that changes nothing that anyone reads: whether it commits says whether the database takes writes. It touches each table
/// that a call needs, for one of them alone may be gone, or locked by somebody else.
pub(crate) async fn probe(conn: &mut Conn<'_>, at: i64) -> QueryResult<()> {
    diesel::update(storage_probe::table).set(storage_probe::at.eq(at)).execute(conn).await?;
    diesel::update(calls::table.find("")).set(calls::tool.eq("")).execute(conn).await?;
    diesel::update(attempts::table.filter(attempts::call_id.eq("")))
        .set(attempts::host.eq(""))
        .execute(conn)
        .await?;
    diesel::update(conversations::table.find("")).set(conversations::tool.eq("")).execute(conn).await?;
    diesel::update(messages::table.find("")).set(messages::tool.eq("")).execute(conn).await.map(|_| ())
}

/// Writes one record inside the caller's transaction.
pub(crate) async fn record(conn: &mut Conn<'_>, record: &Record, rules: Rules) -> Result<Written, Refusal> {
    match record {
        Record::CallOpened(call, attempt) => open::call_opened(conn, call, attempt.as_ref(), rules).await,
        Record::AttemptOpened(attempt) => open::attempt_opened(conn, attempt).await,
        Record::AttemptEnded(ended) => attempt_ended(conn, ended).await,
        Record::CallStreaming { call, at } => call_streaming(conn, &call.to_string(), at.0).await,
        Record::CallEnded(ended) => call_ended(conn, ended).await,
        Record::CallDelivered { call, at } => call_delivered(conn, &call.to_string(), at.0).await,
        Record::SessionOpened(session) => session_opened(conn, session).await,
        Record::SessionEnded(ended) => session_ended(conn, ended).await,
        Record::Events(happened) => events::happened(conn, happened).await,
        Record::LeasesRenewed { calls, until } => sweep::leases_renewed(conn, calls, until.0).await,
        Record::Recovered { abandoned, at } => sweep::recovered(conn, abandoned, at.0).await,
        Record::Expired(outdated) => sweep::expired(conn, outdated).await,
        Record::MetricsFlushed(batch) => rollup::flushed(conn, batch).await,
        Record::LifeBegan(life, at) => lives::began(conn, life, *at).await,
        Record::LifeEnded(ended, at) => lives::ended(conn, ended, *at).await,
        Record::Acknowledged(noted) => acknowledge::acknowledged(conn, noted).await,
    }
}

async fn attempt_ended(conn: &mut Conn<'_>, ended: &EndedAttempt) -> Result<Written, Refusal> {
    let usage = ended.usage;
    let updated = diesel::update(attempts::table.find((ended.call.to_string(), ended.n)))
        .set((
            attempts::state.eq(ended.state.as_str()),
            attempts::status.eq(ended.status.map(i32::from)),
            attempts::prompt_tokens.eq(usage.map(|usage| i64::from(usage.prompt))),
            attempts::cached_tokens.eq(usage.map(|usage| i64::from(usage.cached))),
            attempts::completion_tokens.eq(usage.map(|usage| i64::from(usage.completion))),
            attempts::reasoning_tokens.eq(usage.map(|usage| i64::from(usage.reasoning))),
            attempts::cost_usd.eq(ended.cost_usd),
            attempts::ended_at.eq(ended.ended_at.0),
        ))
        .execute(conn)
        .await?;
    if updated == 0 { Err(Refusal::Missing("attempt")) } else { Ok(Written::Done) }
}

async fn call_streaming(conn: &mut Conn<'_>, id: &str, at: i64) -> Result<Written, Refusal> {
    let dispatched = calls::table.find(id).filter(calls::state.eq(CallState::Dispatched.as_str()));
    diesel::update(dispatched)
        .set((calls::state.eq("streaming"), calls::streaming_at.eq(at)))
        .execute(conn)
        .await?;
    Ok(Written::Done)
}

async fn call_ended(conn: &mut Conn<'_>, ended: &EndedCall) -> Result<Written, Refusal> {
    let id = ended.id.to_string();
    let at = |state: CallState| (ended.state == state).then_some(ended.ended_at.0);
    // The first end stands. `unknown` is no end but the lack of one: the outcome itself may still come and replace it.
    let mut open = CallState::OPEN.to_vec();
    open.push(CallState::Unknown.as_str());
    let updated = diesel::update(calls::table.find(&id).filter(calls::state.eq_any(open)))
        .set((
            calls::state.eq(ended.state.as_str()),
            calls::result.eq(ended.result.as_deref().map(storable)),
            calls::receipt.eq(ended.receipt.as_deref().map(storable)),
            calls::error.eq(ended.error.as_deref().map(storable)),
            calls::completed_at.eq(at(CallState::Completed)),
            calls::failed_at.eq(at(CallState::Failed)),
            calls::cancelled_at.eq(at(CallState::Cancelled)),
            calls::interrupted_at.eq(at(CallState::Interrupted)),
            calls::unknown_at.eq(at(CallState::Unknown)),
        ))
        .execute(conn)
        .await?;
    if updated == 0 {
        let stands = calls::table.find(&id).count().get_result::<i64>(conn).await? > 0;
        return match (stands, ended.may_be_missing) {
            (true, _) => Ok(Written::Done),
            (false, true) => Ok(Written::Absent(Absent::Call)),
            (false, false) => Err(Refusal::Missing("call")),
        };
    }
    if ended.frees_key {
        let freed = calls::idempotency_key.eq(None::<&str>);
        diesel::update(calls::table.find(&id)).set(freed).execute(conn).await?;
    }
    let mut written = Written::Done;
    if let Some(attempt) = &ended.attempt {
        match attempt_ended(conn, attempt).await {
            Ok(_) => {}
            Err(Refusal::Missing(_)) if ended.may_be_missing => written = Written::Absent(Absent::Attempt),
            // Without its row an account is wrong, which is our defect; the answer is paid for and kept all the same.
            Err(Refusal::Missing(what)) => {
                log::error!(call = id.as_str(), n = attempt.n; "a call ended whose {what} is not in the journal");
            }
            Err(refusal) => return Err(refusal),
        }
    }
    if ended.attempt.as_ref().is_none_or(|last| last.n > 1) {
        close_earlier_attempts(conn, ended).await?;
    }
    if let Some(exchange) = &ended.exchange {
        append(conn, exchange).await?;
    }
    Ok(written)
}

/// An earlier request whose end could not be written when it ended has none now either: nobody knows it any more.
async fn close_earlier_attempts(conn: &mut Conn<'_>, ended: &EndedCall) -> Result<(), Refusal> {
    let open = attempts::table
        .filter(attempts::call_id.eq(ended.id.to_string()))
        .filter(attempts::state.eq(AttemptState::Dispatched.as_str()));
    diesel::update(open)
        .set((attempts::state.eq(AttemptState::Unknown.as_str()), attempts::ended_at.eq(ended.ended_at.0)))
        .execute(conn)
        .await?;
    Ok(())
}

/// Appends the two turns of an exchange, once, to a conversation of the same principal, which is made if it does not exist.
async fn append(conn: &mut Conn<'_>, exchange: &NewExchange) -> Result<(), Refusal> {
    let id = exchange.conversation.to_string();
    diesel::insert_into(conversations::table)
        .values((
            conversations::id.eq(&id),
            conversations::principal.eq(exchange.principal.as_str()),
            conversations::title.eq(storable(&exchange.title)),
            conversations::tool.eq(exchange.tool.as_str()),
            conversations::turn_count.eq(0),
            conversations::created_at.eq(exchange.at.0),
            conversations::updated_at.eq(exchange.at.0),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    // The update that changes nothing locks the row: two replicas cannot give one place to two turns.
    let own = conversations::table.find(&id).filter(conversations::principal.eq(exchange.principal.as_str()));
    let turns = diesel::update(own)
        .set(conversations::turn_count.eq(conversations::turn_count))
        .returning(conversations::turn_count)
        .get_result::<i32>(conn)
        .await
        .optional()?
        .ok_or(Refusal::Missing("conversation of this principal"))?;
    let mut appended = 0;
    for (role, content, tokens) in [
        (crate::models::Role::User, &exchange.question, exchange.question_tokens),
        (crate::models::Role::Assistant, &exchange.answer, exchange.answer_tokens),
    ] {
        let written = diesel::insert_into(messages::table)
            .values((
                messages::id.eq(uuid::Uuid::now_v7().to_string()),
                messages::conversation_id.eq(&id),
                messages::seq.eq(turns + appended + 1),
                messages::role.eq(role_word(role)),
                messages::content.eq(storable(content)),
                messages::tool.eq(exchange.tool.as_str()),
                messages::model.eq(exchange.model.as_str()),
                messages::provider.eq(exchange.provider.as_str()),
                messages::tokens.eq(tokens),
                messages::call_id.eq(exchange.call.to_string()),
                messages::created_at.eq(exchange.at.0),
            ))
            .on_conflict((messages::call_id, messages::role))
            .do_nothing()
            .execute(conn)
            .await?;
        appended += i32::from(written == 1);
    }
    if appended > 0 {
        diesel::update(conversations::table.find(&id))
            .set((
                conversations::turn_count.eq(turns + appended),
                conversations::updated_at.eq(exchange.at.0),
            ))
            .execute(conn)
            .await?;
    }
    Ok(())
}

async fn call_delivered(conn: &mut Conn<'_>, id: &str, at: i64) -> Result<Written, Refusal> {
    diesel::update(calls::table.find(id).filter(calls::delivered_at.is_null()))
        .set(calls::delivered_at.eq(at))
        .execute(conn)
        .await?;
    Ok(Written::Done)
}

async fn session_opened(conn: &mut Conn<'_>, session: &NewSession) -> Result<Written, Refusal> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(session.id.to_string()),
            sessions::principal.eq(session.principal.as_str()),
            sessions::client.eq(storable(&session.client)),
            sessions::protocol.eq(storable(&session.protocol)),
            sessions::transport.eq(storable(&session.transport)),
            sessions::connected_at.eq(session.connected_at.0),
            sessions::messages_in.eq(0),
            sessions::messages_out.eq(0),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(Written::Done)
}

async fn session_ended(conn: &mut Conn<'_>, ended: &EndedSession) -> Result<Written, Refusal> {
    diesel::update(sessions::table.find(ended.id.to_string()).filter(sessions::closed_at.is_null()))
        .set((
            sessions::closed_at.eq(ended.closed_at.0),
            sessions::close_code.eq(ended.close_code),
            sessions::messages_in.eq(ended.messages_in),
            sessions::messages_out.eq(ended.messages_out),
        ))
        .execute(conn)
        .await?;
    Ok(Written::Done)
}
