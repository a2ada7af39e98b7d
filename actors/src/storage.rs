//! The database: its schema, its migrations and the reads. Writes go through `StorageWriter` alone.

pub(crate) mod backend;
pub mod browse;
mod codes;
pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod job;
mod migrations;
pub mod rows;
pub mod schema;
pub(crate) mod spool;
mod store;
mod text;
mod tls;
pub(crate) mod url;

pub use error::{ConnectError, StorageError};
pub use migrations::{MigrateError, Migrated, inspect, migrate};
pub use spool::SpoolSettings;
pub use store::{READS_COMPONENT, Store};
pub use url::{InvalidUrl, PostgresUrl, TlsMode, Url};

/// What a write survives once it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A power cut: fsynced first. SQLite `synchronous=FULL`, Postgres `synchronous_commit=on`.
    #[default]
    Power,
    /// A killed process, not a power cut. SQLite `synchronous=NORMAL`, Postgres `synchronous_commit=off` (there a crash of the
    /// *server* may lose the last fraction of a second too).
    Process,
}

impl Durability {
    /// For `/health`.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Power => "durable across power cuts",
            Self::Process => "durable across a kill of this process, not across power cuts",
        }
    }
}
