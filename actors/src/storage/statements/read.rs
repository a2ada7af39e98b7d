//! What is read from the database, written once and compiled for each. Every read of a principal's things names the principal.

use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::clock::UtcMillis;
use crate::ids::{CallId, ConversationId, IdempotencyKey, ModelId, Principal, ToolName};
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
