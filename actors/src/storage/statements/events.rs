//! How events are written, once for both databases. Many rows a statement: a server 20 ms away is not asked a thousand times.

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::{Conn, Db};
use crate::storage::error::Refusal;
use crate::storage::rows::NewEvent;
use crate::storage::text::storable;
use crate::storage_writer::messages::Written;

/// Rows of one statement; each takes ten parameters, and SQLite takes 32 766.
const ROWS_MAX: usize = 100;
const COLUMNS: &str = "id, at, kind, direction, peer, bytes, ms, outcome, call_id, sampled";
const COLUMNS_COUNT: usize = 10;

/// Writes what happened. A batch that is written twice stands once.
pub(crate) async fn happened(conn: &mut Conn<'_>, events: &[NewEvent]) -> Result<Written, Refusal> {
    for some in events.chunks(ROWS_MAX) {
        let mut insert = diesel::sql_query(text_for(some.len())).into_boxed::<Db>();
        for event in some {
            insert = insert
                .bind::<Text, _>(event.id.to_string())
                .bind::<BigInt, _>(event.at.0)
                .bind::<Text, _>(storable(&event.kind))
                .bind::<Text, _>(event.direction)
                .bind::<Text, _>(storable(&event.peer))
                .bind::<BigInt, _>(event.bytes)
                .bind::<BigInt, _>(event.ms)
                .bind::<Text, _>(storable(&event.outcome))
                .bind::<Nullable<Text>, _>(event.call.map(|call| call.to_string()))
                .bind::<BigInt, _>(event.sampled);
        }
        insert.execute(conn).await?;
    }
    Ok(Written::Done)
}

fn text_for(rows: usize) -> String {
    let row = |row: usize| {
        let places = (1..=COLUMNS_COUNT).map(|n| format!("${}", row * COLUMNS_COUNT + n)).collect::<Vec<_>>();
        format!("({})", places.join(", "))
    };
    let rows = (0..rows).map(row).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO events ({COLUMNS}) VALUES {rows} ON CONFLICT DO NOTHING")
}
