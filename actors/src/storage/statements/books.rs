//! What the database has of one life of a replica, counted: for whoever holds the counters against it. Once for both databases.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::clock::UtcMillis;
use crate::storage::error::StorageError;
use crate::storage::rows::{Books, LIFE_LABEL};

/// A failure for want of the database is told apart: who was told so may have been refused, and the row stand all the same.
const CALLS: &str = r#"SELECT tool AS a, CASE WHEN state = 'failed' AND error LIKE '{"kind":"storage_unavailable"%'
    THEN 'failed_by_storage' ELSE state END AS b, '' AS c, COUNT(*) AS n FROM calls
    WHERE replica = $1 AND accepted_at >= $2 GROUP BY 1, 2"#;
const ATTEMPTS: &str = "SELECT attempts.provider AS a, attempts.model AS b,
    CASE WHEN attempts.state = 'failed' AND status IS NOT NULL THEN CAST(status AS TEXT) ELSE attempts.state END AS c,
    COUNT(*) AS n FROM attempts JOIN calls ON calls.id = attempts.call_id
    WHERE replica = $1 AND accepted_at >= $2 GROUP BY 1, 2, 3";
const ROLLUPS: &str =
    "SELECT metric AS a, labels AS b, '' AS c, CAST(SUM(count) AS BIGINT) AS n FROM metrics_1hour
    WHERE labels LIKE $1 GROUP BY metric, labels";

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = Text)]
    a: String,
    #[diesel(sql_type = Text)]
    b: String,
    #[diesel(sql_type = Text)]
    c: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Counts them in three queries.
pub(crate) async fn books(
    conn: &mut Conn<'_>,
    replica: String,
    since: UtcMillis,
    life: String,
) -> Result<Books, StorageError> {
    let failed = |source| StorageError::Query { operation: "count the journal", source };
    let of_life = |sql| diesel::sql_query(sql).bind::<Text, _>(replica.clone()).bind::<BigInt, _>(since.0);
    let calls = of_life(CALLS).load::<Counted>(conn).await.map_err(failed)?;
    let attempts = of_life(ATTEMPTS).load::<Counted>(conn).await.map_err(failed)?;
    let named = format!("%\"{}\":\"{life}\"%", LIFE_LABEL);
    let rollups = diesel::sql_query(ROLLUPS).bind::<Text, _>(named);
    let rollups = rollups.load::<Counted>(conn).await.map_err(failed)?;
    Ok(Books {
        calls: calls.into_iter().map(|row| (row.a, row.b, row.n)).collect(),
        attempts: attempts.into_iter().map(|row| (row.a, row.b, row.c, row.n)).collect(),
        rollups: rollups.into_iter().map(|row| (row.a, row.b, row.n)).collect(),
    })
}
