//! What a migration says to the database, written once and compiled for each.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};

use super::Conn;

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    name TEXT NOT NULL PRIMARY KEY, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// A migration that a database says it has.
#[derive(Debug, QueryableByName)]
pub(crate) struct Applied {
    /// Its folder's name.
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    /// SHA-256 of its text, lowercase hex.
    #[diesel(sql_type = Text)]
    pub(crate) checksum: String,
}

/// Runs statements that give nothing back.
pub(crate) async fn run(conn: &mut Conn<'_>, sql: &str) -> diesel::QueryResult<()> {
    conn.batch_execute(sql).await
}

/// The migrations that the database has, in order.
pub(crate) async fn applied(conn: &mut Conn<'_>) -> diesel::QueryResult<Vec<Applied>> {
    run(conn, LEDGER).await?;
    diesel::sql_query("SELECT name, checksum FROM schema_migrations ORDER BY name").load(conn).await
}

/// Notes a migration as applied.
pub(crate) async fn note(
    conn: &mut Conn<'_>,
    name: &str,
    checksum: &str,
    at: i64,
) -> diesel::QueryResult<()> {
    diesel::sql_query("INSERT INTO schema_migrations (name, checksum, applied_at) VALUES ($1, $2, $3)")
        .bind::<Text, _>(name)
        .bind::<Text, _>(checksum)
        .bind::<BigInt, _>(at)
        .execute(conn)
        .await
        .map(|_| ())
}
