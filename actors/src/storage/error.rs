//! How the database fails, in the words of the operation that failed. Must never hold what a row contains.

use std::time::Duration;

use diesel::result::DatabaseErrorKind;

/// A read, or a connection, that failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No connection.
    #[error("cannot connect to the database")]
    Connect(#[source] ConnectError),
    /// Every connection of the pool stayed busy, or the database did not answer.
    #[error("the database did not answer within {0:?}")]
    TimedOut(Duration),
    /// It has not answered since a read waited for it in vain, and is not asked again before it does.
    #[error("the database has not answered for a while")]
    Silent,
    /// The database refused the query.
    #[error("the database could not {operation}")]
    Query {
        /// What was asked of it.
        operation: &'static str,
        /// What it said.
        #[source]
        source: diesel::result::Error,
    },
    /// A row holds what no release of ours writes.
    #[error("column {column} of the database holds a value that this release does not know")]
    Row {
        /// The column, as `table.column`.
        column: &'static str,
    },
    /// A read could not be run to its end: the runtime is going away.
    #[error("the database could not be read while the process ends")]
    Closed,
}

/// A record that could not be written.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// What it belongs to does not stand.
    Missing(&'static str),
    /// The database said no.
    Database(diesel::result::Error),
    /// The database said nothing.
    TimedOut,
    /// The connection can not even be rolled back.
    LostConnection,
    /// That, of a transaction that was being committed: it may stand or not.
    Unconfirmed(Box<Refusal>),
}

/// An error and what is behind it, in one line, for operators.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Some libraries repeat their source in their own words.
        if !words.ends_with(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
        source = error.source();
    }
    words
}

impl From<diesel::result::Error> for Refusal {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

/// Who is to blame for a failed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The row: it would be refused again.
    Row,
    /// The database: it takes no row just now.
    Database,
    /// Not clear from the error alone.
    Unclear,
}

/// What SQLite and Postgres say when they take no writes. Postgres may speak another language; then the probe decides.
const DATABASE_IS_ILL: [&str; 23] = [
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "file is not a database",
    "database disk image is malformed",
    "locking protocol",
    "out of memory",
    "no such table",
    "terminating connection",
    "the database system is",
    "No space left",
    "could not extend",
    "could not write",
    "could not fsync",
    "canceling statement due to",
    "out of shared memory",
    "sorry, too many clients",
    "deadlock detected",
    "could not serialize access",
    "lock timeout",
];

impl Refusal {
    pub(crate) fn blame(&self) -> Blame {
        use diesel::result::Error;
        match self {
            Self::Missing(_) => Blame::Row,
            Self::TimedOut | Self::LostConnection | Self::Unconfirmed(_) => Blame::Database,
            Self::Database(Error::DatabaseError(kind, info)) => blame(kind, info.message()),
            Self::Database(Error::SerializationError(_) | Error::InvalidCString(_)) => Blame::Row,
            Self::Database(_) => Blame::Unclear,
        }
    }

    /// Whether the connection is gone, and a fresh one may do.
    pub(crate) fn is_lost_connection(&self) -> bool {
        use diesel::result::{DatabaseErrorKind as Kind, Error};
        match self {
            Self::Database(Error::DatabaseError(Kind::UnableToSendCommand | Kind::ClosedConnection, _)) => {
                true
            }
            Self::Database(Error::DatabaseError(_, info)) => {
                info.message().contains("terminating connection")
            }
            Self::LostConnection => true,
            Self::Unconfirmed(refusal) => refusal.is_lost_connection(),
            Self::Missing(_) | Self::TimedOut | Self::Database(_) => false,
        }
    }

    /// One sentence for operators. A database's own words are passed on only where they are known to hold no row's content.
    pub(crate) fn for_people(&self) -> String {
        match (self, self.blame()) {
            (Self::Missing(what), _) => format!("there is no such {what}"),
            (Self::TimedOut, _) => "the database does not answer".to_owned(),
            (Self::LostConnection, _) => "the connection to the database broke".to_owned(),
            (Self::Unconfirmed(refusal), _) => refusal.for_people(),
            (Self::Database(error), Blame::Database) => format!("the database takes no writes: {error}"),
            (Self::Database(diesel::result::Error::DatabaseError(kind, info)), Blame::Row) => {
                format!("{kind:?} of {}", info.constraint_name().or(info.table_name()).unwrap_or("a rule"))
            }
            (Self::Database(_), Blame::Row | Blame::Unclear) => "the database refused the row".to_owned(),
        }
    }
}

/// A connection that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The database, or the network, refused.
    #[error("the database refused the connection")]
    Refused(#[source] diesel::ConnectionError),
    /// tokio-postgres could not connect.
    #[error("the postgres server refused the connection")]
    Postgres(#[source] tokio_postgres::Error),
    /// The connection stands, its settings do not.
    #[error("the database refused the connection's settings")]
    Settings(#[source] diesel::result::Error),
    /// The authorities of `sslrootcert` cannot be used.
    #[error("the certificates that sslrootcert names cannot be used")]
    RootCert(#[source] rustls::pki_types::pem::Error),
    /// rustls refused the TLS settings.
    #[error("the tls settings cannot be used")]
    Tls(#[source] rustls::Error),
    /// A path that SQLite cannot be given.
    #[error("the path of the database file is not UTF-8")]
    Path,
    /// No answer in time.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
}

impl From<ConnectError> for diesel::ConnectionError {
    /// diesel-async's pool knows diesel's error alone; ours rides inside it.
    fn from(error: ConnectError) -> Self {
        Self::CouldntSetupConfiguration(diesel::result::Error::QueryBuilderError(Box::new(error)))
    }
}

fn blame(kind: &DatabaseErrorKind, message: &str) -> Blame {
    use DatabaseErrorKind as Kind;
    let row = matches!(
        kind,
        Kind::UniqueViolation
            | Kind::ForeignKeyViolation
            | Kind::NotNullViolation
            | Kind::CheckViolation
            | Kind::RestrictViolation
            | Kind::ExclusionViolation
    );
    let database =
        matches!(kind, Kind::UnableToSendCommand | Kind::ClosedConnection | Kind::ReadOnlyTransaction);
    if row {
        Blame::Row
    } else if database || DATABASE_IS_ILL.iter().any(|words| message.contains(words)) {
        Blame::Database
    } else {
        Blame::Unclear
    }
}
