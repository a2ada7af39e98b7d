//! Why the daemon does not start. Each says what to do.

use std::io;
use std::net::SocketAddr;

use exai_actors::models::BadCatalogue;
use exai_actors::provider::endpoint::EndpointError;
use exai_actors::storage::{MigrateError, StorageError};
use exai_actors::storage_writer::messages::WriteError;

use crate::config::ConfigError;
use crate::security::TokenError;
use crate::tls::TlsError;

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A port is taken, or not ours to take.
    #[error("cannot listen on {address}; stop what listens there, or set {key} to another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The key that sets it.
        key: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The database is not as it must be.
    #[error("the database cannot be brought up to date")]
    Migrate(#[from] MigrateError),
    /// The database cannot be read.
    #[error("the database cannot be opened; look at storage.url (EXAI_STORAGE__URL)")]
    Storage(#[from] StorageError),
    /// What an earlier process left open could not be closed.
    #[error(
        "the calls that an earlier process left open cannot be closed; look at the database and start again"
    )]
    Recover(#[source] WriteError),
    /// A provider cannot be reached as configured.
    #[error("a provider is not configured well")]
    Provider(#[from] EndpointError),
    /// The catalogue is broken.
    #[error("the model catalogue cannot be read")]
    Catalogue(#[from] BadCatalogue),
    /// A value that is wrong beside the others, such as a default model that nobody serves.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Signals cannot be listened for.
    #[error("cannot listen for SIGTERM and SIGINT")]
    Signals(#[source] io::Error),
    /// A thread or a runtime could not be had.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
    /// It was told to end before it was up.
    #[error("told to end while it started")]
    ToldToEnd,
    /// It panicked; the log says where.
    #[error("the server panicked while it started; its log says where")]
    Panicked,
}

impl StartError {
    /// Whether the configuration is wrong, so that starting again cannot help.
    pub(crate) fn is_misconfigured(&self) -> bool {
        match self {
            Self::Token(error) => error.is_misconfigured(),
            Self::Config(_) | Self::Provider(_) | Self::Tls(_) => true,
            Self::Listen { .. }
            | Self::Migrate(_)
            | Self::Storage(_)
            | Self::Recover(_)
            | Self::Catalogue(_)
            | Self::Signals(_)
            | Self::Thread(_)
            | Self::ToldToEnd
            | Self::Panicked => false,
        }
    }
}
