//! What is read from the database, written once and compiled for each. Every read of a principal's things names the principal.

use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::clock::UtcMillis;
use crate::ids::{CallId, ConversationId, IdempotencyKey, ModelId, Principal, ToolName};
use crate::storage::browse::{Asked, Place, Summary, Told, length, substr};
use crate::storage::codes::role_from_word;
use crate::storage::error::StorageError;
use crate::storage::rows::{CallState, StoredCall, Thread, Turn};
use crate::storage::schema::{calls, conversations, messages, storage_probe};

/// Role, content, tokens and model of a turn.
type TurnRow = (String, String, i32, String);

/// One query: the newest `turns_max` turns beside their conversation. Another principal's conversation is no conversation.
pub(crate) async fn thread(
    conn: &mut Conn<'_>,
    principal: Principal,
    id: ConversationId,
    turns_max: i64,
) -> Result<Option<Thread>, StorageError> {
    let rows = conversations::table
        .left_join(messages::table)
        .filter(conversations::id.eq(id.to_string()))
        .filter(conversations::principal.eq(principal.as_str()))
        .order(messages::seq.desc())
        // One row at least, or a conversation of which no turn is wanted would look unknown.
        .limit(turns_max.max(1))
        .select((
            conversations::turn_count,
            (messages::role, messages::content, messages::tokens, messages::model).nullable(),
        ))
        .load::<(i32, Option<TurnRow>)>(conn)
        .await
        .map_err(failed("load a conversation"))?;
    let [(turn_count, _), ..] = rows.as_slice() else { return Ok(None) };
    let turn_count = *turn_count;
    let kept = usize::try_from(turns_max).unwrap_or(0);
    let turns = rows
        .into_iter()
        .take(kept)
        .filter_map(|(_, turn)| turn)
        .rev()
        .map(|(role, content, tokens, model)| {
            Ok(Turn {
                role: role_from_word(&role).ok_or(StorageError::Row { column: "messages.role" })?,
                content: Arc::from(content),
                tokens,
                model: ModelId::from(model),
            })
        })
        .collect::<Result<Vec<_>, StorageError>>()?;
    Ok(Some(Thread { id, turn_count, turns }))
}

/// Id, title, tool, turns, made and changed.
type SummaryRow = (String, String, String, i32, i64, i64);

fn summary(
    (id, title, tool, turn_count, created_at, updated_at): SummaryRow,
) -> Result<Summary, StorageError> {
    let id = id.parse().map_err(|_| StorageError::Row { column: "conversations.id" })?;
    let (created_at, updated_at) = (UtcMillis(created_at), UtcMillis(updated_at));
    Ok(Summary { id, title, tool: ToolName::from(tool), turn_count, created_at, updated_at })
}

/// The conversations of this principal, newest first.
pub(crate) async fn summaries(
    conn: &mut Conn<'_>,
    principal: Principal,
    asked: Asked,
) -> Result<Vec<Summary>, StorageError> {
    let mut query = conversations::table
        .filter(conversations::principal.eq(principal.as_str().to_owned()))
        .order((conversations::updated_at.desc(), conversations::id.desc()))
        .limit(asked.count_max)
        .select((
            conversations::id,
            conversations::title,
            conversations::tool,
            conversations::turn_count,
            conversations::created_at,
            conversations::updated_at,
        ))
        .into_boxed::<Db>();
    if let Some(Place { updated_at, id }) = asked.after {
        let same_moment =
            conversations::updated_at.eq(updated_at.0).and(conversations::id.lt(id.to_string()));
        query = query.filter(conversations::updated_at.lt(updated_at.0).or(same_moment));
    }
    if let Some(beginning) = asked.id_begins {
        query = query.filter(conversations::id.like(format!("{beginning}%")));
    }
    let rows = query.load::<SummaryRow>(conn).await.map_err(failed("list conversations"))?;
    rows.into_iter().map(summary).collect()
}

/// A conversation of this principal.
pub(crate) async fn conversation(
    conn: &mut Conn<'_>,
    principal: Principal,
    id: ConversationId,
) -> Result<Option<Summary>, StorageError> {
    conversations::table
        .filter(conversations::id.eq(id.to_string()))
        .filter(conversations::principal.eq(principal.as_str()))
        .select((
            conversations::id,
            conversations::title,
            conversations::tool,
            conversations::turn_count,
            conversations::created_at,
            conversations::updated_at,
        ))
        .first::<SummaryRow>(conn)
        .await
        .optional()
        .map_err(failed("load a conversation"))?
        .map(summary)
        .transpose()
}

/// Number, role, model, call, beginning, length and time of a turn.
type ToldRow = (i32, String, String, String, String, i32, i64);

/// The newest turns before `before` of a conversation that is known to be the caller's, newest first; of each at most `chars_max`
/// characters leave the database.
pub(crate) async fn told(
    conn: &mut Conn<'_>,
    id: ConversationId,
    before: i32,
    count_max: i64,
    chars_max: i32,
) -> Result<Vec<Told>, StorageError> {
    let rows = messages::table
        .filter(messages::conversation_id.eq(id.to_string()))
        .filter(messages::seq.lt(before))
        .order(messages::seq.desc())
        .limit(count_max)
        .select((
            messages::seq,
            messages::role,
            messages::model,
            messages::call_id,
            substr(messages::content, 1, chars_max),
            length(messages::content),
            messages::created_at,
        ))
        .load::<ToldRow>(conn)
        .await
        .map_err(failed("load turns"))?;
    let told = rows.into_iter().map(|(seq, role, model, call, text, chars, created_at)| {
        Ok(Told {
            seq,
            role: role_from_word(&role).ok_or(StorageError::Row { column: "messages.role" })?,
            model: ModelId::from(model),
            call: call.parse().map_err(|_| StorageError::Row { column: "messages.call_id" })?,
            text,
            chars,
            created_at: UtcMillis(created_at),
        })
    });
    told.collect()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = calls)]
struct CallRow {
    id: String,
    state: String,
    replica: String,
    tool: String,
    request_hash: String,
    result: Option<String>,
    receipt: Option<String>,
    error: Option<String>,
    accepted_at: i64,
}

impl CallRow {
    fn read(self) -> Result<StoredCall, StorageError> {
        Ok(StoredCall {
            id: self.id.parse().map_err(|_| StorageError::Row { column: "calls.id" })?,
            state: CallState::from_word(&self.state).ok_or(StorageError::Row { column: "calls.state" })?,
            replica: self.replica,
            tool: ToolName::from(self.tool),
            request_hash: self.request_hash,
            result: self.result.map(Arc::from),
            receipt: self.receipt,
            error: self.error,
            accepted_at: UtcMillis(self.accepted_at),
        })
    }
}

/// A call of this principal, by its id.
pub(crate) async fn call(
    conn: &mut Conn<'_>,
    principal: Principal,
    id: CallId,
) -> Result<Option<StoredCall>, StorageError> {
    calls::table
        .filter(calls::id.eq(id.to_string()))
        .filter(calls::principal.eq(principal.as_str()))
        .select(CallRow::as_select())
        .first(conn)
        .await
        .optional()
        .map_err(failed("load a call"))?
        .map(CallRow::read)
        .transpose()
}

/// A call of this principal, by the caller's own name for it.
pub(crate) async fn call_by_key(
    conn: &mut Conn<'_>,
    principal: Principal,
    key: IdempotencyKey,
) -> Result<Option<StoredCall>, StorageError> {
    calls::table
        .filter(calls::principal.eq(principal.as_str()))
        .filter(calls::idempotency_key.eq(key.as_str()))
        .select(CallRow::as_select())
        .first(conn)
        .await
        .optional()
        .map_err(failed("load a call by its key"))?
        .map(CallRow::read)
        .transpose()
}

/// A read that touches the file, so that a database that only looks alive does not pass.
pub(crate) async fn ping(conn: &mut Conn<'_>) -> Result<(), StorageError> {
    probe(conn).await.map_err(failed("answer a ping"))
}

/// The query of [`ping`], for whoever wants the database's own error.
pub(crate) async fn probe(conn: &mut Conn<'_>) -> QueryResult<()> {
    storage_probe::table.select(storage_probe::at).first::<i64>(conn).await.map(|_| ())
}

fn failed(operation: &'static str) -> impl FnOnce(diesel::result::Error) -> StorageError {
    move |source| StorageError::Query { operation, source }
}
