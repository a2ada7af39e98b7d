//! What the auditor saw, and how an operator's note of it is written, once for both databases.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::clock::UtcMillis;
use crate::storage::error::{Refusal, StorageError};
use crate::storage::rows::history::{Acknowledgement, ObservationSeen, Which};
use crate::storage::schema::auditor_observations as seen;
use crate::storage::text::storable;
use crate::storage_writer::messages::Written;

/// Whoever took note first stays the one who did.
pub(crate) async fn acknowledged(conn: &mut Conn<'_>, noted: &Acknowledgement) -> Result<Written, Refusal> {
    let by = storable(noted.by.as_str());
    let note = (seen::acknowledged_by.eq(by.as_ref()), seen::acknowledged_at.eq(noted.at.0));
    let open = seen::acknowledged_at.is_null();
    let rows = match &noted.which {
        Which::One(id) => {
            diesel::update(seen::table.find(id.to_string()).filter(open)).set(note).execute(conn).await?
        }
        Which::Until(at) => {
            diesel::update(seen::table.filter(open.and(seen::at.le(at.0)))).set(note).execute(conn).await?
        }
    };
    Ok(Written::Acknowledged(u64::try_from(rows).unwrap_or(u64::MAX)))
}

type ObservationRow = (String, i64, String, String, String, String, f64, Option<String>, Option<i64>);

/// What the auditor saw last.
pub(crate) async fn observations(
    conn: &mut Conn<'_>,
    limit: u16,
) -> Result<Vec<ObservationSeen>, StorageError> {
    let rows = seen::table
        .order(seen::at.desc())
        .limit(i64::from(limit))
        .select((
            seen::id,
            seen::at,
            seen::severity,
            seen::category,
            seen::text,
            seen::recommendation,
            seen::confidence,
            seen::acknowledged_by,
            seen::acknowledged_at,
        ))
        .load::<ObservationRow>(conn)
        .await
        .map_err(|source| StorageError::Query { operation: "list observations", source })?;
    let rows = rows.into_iter().map(
        |(id, at, severity, category, text, recommendation, confidence, acknowledged_by, acknowledged_at)| {
            ObservationSeen {
                id,
                at: UtcMillis(at),
                severity,
                category,
                text,
                recommendation,
                confidence,
                acknowledged_by,
                acknowledged_at: acknowledged_at.map(UtcMillis),
            }
        },
    );
    Ok(rows.collect())
}
