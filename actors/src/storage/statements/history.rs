//! What operators browse, of every principal, written once and compiled for each database.

use diesel::dsl::sum;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::clock::UtcMillis;
use crate::ids::{CallId, ConversationId};
use crate::storage::error::StorageError;
use crate::storage::rows::history::{AttemptSeen, Browse, CallStory, ConversationSeen, RollupSeen, TurnSeen};
use crate::storage::schema::{attempts, calls, conversations, messages, metrics_1hour, metrics_1min};

/// Turns of one conversation that are shown; the newest of more.
const TURNS_MAX: i64 = 200;
/// The metrics that the dashboard draws over time.
const SHOWN: [&str; 6] = [
    "exai_calls_total",
    "exai_tokens_total",
    "exai_cost_usd_total",
    "exai_call_seconds",
    "exai_process_resident_memory_bytes",
    "exai_event_loop_lag_seconds",
];
/// Rollups that one question may bring.
const ROLLUPS_MAX: i64 = 50_000;

diesel::define_sql_function! {
    /// The characters of a text.
    fn length(text: diesel::sql_types::Text) -> diesel::sql_types::Integer;
}

/// What upstream requests since then have cost.
pub(crate) async fn cost_since(conn: &mut Conn<'_>, since: UtcMillis) -> Result<f64, StorageError> {
    let cost = attempts::table.filter(attempts::dispatched_at.ge(since.0)).select(sum(attempts::cost_usd));
    cost.first::<Option<f64>>(conn).await.map(Option::unwrap_or_default).map_err(failed("sum the bill"))
}

/// The conversations that spoke last.
pub(crate) async fn conversations(
    conn: &mut Conn<'_>,
    browse: Browse,
) -> Result<Vec<ConversationSeen>, StorageError> {
    let mut wanted = conversations::table.into_boxed();
    if let Some(search) = &browse.search {
        let escaped = search.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let (begins, has) = (format!("{escaped}%"), format!("%{escaped}%"));
        let of_all = conversations::id
            .like(begins)
            .escape('\\')
            .or(conversations::principal.like(has.clone()).escape('\\'))
            .or(conversations::tool.like(has.clone()).escape('\\'));
        wanted = if browse.titles {
            wanted.filter(of_all.or(conversations::title.like(has).escape('\\')))
        } else {
            wanted.filter(of_all)
        };
    }
    if let Some(before) = browse.before {
        wanted = wanted.filter(conversations::updated_at.lt(before.0));
    }
    let found = wanted
        .order(conversations::updated_at.desc())
        .limit(i64::from(browse.limit))
        .select((
            conversations::id,
            conversations::principal,
            conversations::title,
            conversations::tool,
            conversations::turn_count,
            conversations::created_at,
            conversations::updated_at,
        ))
        .load::<(String, String, String, String, i32, i64, i64)>(conn)
        .await
        .map_err(failed("list conversations"))?;
    let ids = found.iter().map(|one| one.0.clone()).collect::<Vec<_>>();
    let sizes = messages::table
        .filter(messages::conversation_id.eq_any(ids))
        .group_by(messages::conversation_id)
        .select((messages::conversation_id, sum(messages::tokens), sum(length(messages::content))))
        .load::<(String, Option<i64>, Option<i64>)>(conn)
        .await
        .map_err(failed("measure conversations"))?;
    let seen = found.into_iter().map(|(id, principal, title, tool, turns, created_at, updated_at)| {
        let size = sizes.iter().find(|size| size.0 == id);
        ConversationSeen {
            tokens: size.and_then(|size| size.1).unwrap_or(0),
            chars: size.and_then(|size| size.2).unwrap_or(0),
            id,
            principal,
            title: browse.titles.then_some(title),
            tool,
            turns,
            created_at: UtcMillis(created_at),
            updated_at: UtcMillis(updated_at),
        }
    });
    Ok(seen.collect())
}

/// What was said in one.
pub(crate) async fn turns(conn: &mut Conn<'_>, id: ConversationId) -> Result<Vec<TurnSeen>, StorageError> {
    let mut turns = messages::table
        .filter(messages::conversation_id.eq(id.to_string()))
        .order(messages::seq.desc())
        .limit(TURNS_MAX)
        .select((
            messages::seq,
            messages::role,
            messages::content,
            messages::model,
            messages::tokens,
            messages::created_at,
        ))
        .load::<(i32, String, String, String, i32, i64)>(conn)
        .await
        .map_err(failed("read a conversation"))?;
    turns.reverse();
    let seen = turns.into_iter().map(|(seq, role, content, model, tokens, at)| TurnSeen {
        seq,
        role,
        content,
        model,
        tokens,
        at: UtcMillis(at),
    });
    Ok(seen.collect())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = calls)]
struct StoryRow {
    principal: String,
    session_id: String,
    conversation_id: Option<String>,
    tool: String,
    state: String,
    replica: String,
    receipt: Option<String>,
    error: Option<String>,
    accepted_at: i64,
    dispatched_at: Option<i64>,
    streaming_at: Option<i64>,
    completed_at: Option<i64>,
    failed_at: Option<i64>,
    cancelled_at: Option<i64>,
    interrupted_at: Option<i64>,
    unknown_at: Option<i64>,
    delivered_at: Option<i64>,
}

/// One call with its upstream requests.
pub(crate) async fn story(conn: &mut Conn<'_>, id: CallId) -> Result<Option<CallStory>, StorageError> {
    let row = calls::table
        .find(id.to_string())
        .select(StoryRow::as_select())
        .first(conn)
        .await
        .optional()
        .map_err(failed("read a call"))?;
    let Some(row) = row else { return Ok(None) };
    let attempts = attempts::table
        .filter(attempts::call_id.eq(id.to_string()))
        .order(attempts::n)
        .select((
            attempts::n,
            attempts::provider,
            attempts::model,
            attempts::host,
            attempts::state,
            attempts::status,
            attempts::cost_usd,
            attempts::dispatched_at,
            attempts::ended_at,
        ))
        .load::<(i32, String, String, String, String, Option<i32>, Option<f64>, i64, Option<i64>)>(conn)
        .await
        .map_err(failed("read the requests of a call"))?;
    let attempts = attempts.into_iter().map(
        |(n, provider, model, host, state, status, cost_usd, dispatched_at, ended_at)| AttemptSeen {
            n,
            provider,
            model,
            host,
            state,
            status,
            cost_usd,
            dispatched_at: UtcMillis(dispatched_at),
            ended_at: ended_at.map(UtcMillis),
        },
    );
    Ok(Some(row.told(id, attempts.collect())))
}

impl StoryRow {
    fn told(self, id: CallId, attempts: Vec<AttemptSeen>) -> CallStory {
        let moments = [
            ("accepted", Some(self.accepted_at)),
            ("dispatched", self.dispatched_at),
            ("streaming", self.streaming_at),
            ("completed", self.completed_at),
            ("failed", self.failed_at),
            ("cancelled", self.cancelled_at),
            ("interrupted", self.interrupted_at),
            ("unknown", self.unknown_at),
            ("delivered", self.delivered_at),
        ];
        let moments = moments.into_iter().filter_map(|(state, at)| Some((state, UtcMillis(at?))));
        let mut timeline = moments.collect::<Vec<_>>();
        timeline.sort_by_key(|(_, at)| at.0);
        CallStory {
            id,
            principal: self.principal,
            session: self.session_id,
            conversation: self.conversation_id,
            tool: self.tool,
            state: self.state,
            replica: self.replica,
            timeline,
            receipt: self.receipt,
            error: self.error,
            attempts,
        }
    }
}

/// The rollups since then, by hour or by minute, oldest first. Where there are too many, the oldest are left out.
pub(crate) async fn rollups(
    conn: &mut Conn<'_>,
    since: UtcMillis,
    by_hour: bool,
) -> Result<Vec<RollupSeen>, StorageError> {
    type Row = (i64, String, String, i64, f64, Option<f64>, Option<f64>, Option<f64>);
    macro_rules! rows {
        ($table:ident) => {
            $table::table
                .filter($table::window_start.ge(since.0).and($table::metric.eq_any(SHOWN)))
                .order($table::window_start.desc())
                .limit(ROLLUPS_MAX)
                .select((
                    $table::window_start,
                    $table::metric,
                    $table::labels,
                    $table::count,
                    $table::sum,
                    $table::p50,
                    $table::p95,
                    $table::p99,
                ))
                .load::<Row>(conn)
                .await
        };
    }
    let rows = if by_hour { rows!(metrics_1hour) } else { rows!(metrics_1min) };
    let rows = rows.map_err(failed("read rollups"))?.into_iter().rev();
    let seen = rows.map(|(start, metric, labels, count, sum, p50, p95, p99)| RollupSeen {
        start: UtcMillis(start),
        metric,
        labels,
        count,
        sum,
        p50,
        p95,
        p99,
    });
    Ok(seen.collect())
}

fn failed(operation: &'static str) -> impl FnOnce(diesel::result::Error) -> StorageError {
    move |source| StorageError::Query { operation, source }
}
