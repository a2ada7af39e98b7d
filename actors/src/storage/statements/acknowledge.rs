//! How an operator's note of what the auditor saw is written, once for both databases.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::storage::error::Refusal;
use crate::storage::rows::history::{Acknowledgement, Which};
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
