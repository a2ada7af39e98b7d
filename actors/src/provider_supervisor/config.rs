//! What the configuration says of one provider.

use tokio::sync::watch;

use crate::ids::ProviderName;
use crate::provider::dialect::Dialect;
use crate::provider::endpoint::Key;
use crate::provider::{Listings, Timeouts};

/// What the configuration says of one provider.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its name.
    pub name: ProviderName,
    /// What it speaks.
    pub dialect: Dialect,
    /// `https` only, except for loopback.
    pub base_url: String,
    /// Its key.
    pub key: Key,
    /// Model ids beyond those that the catalogue knows of it; for [`crate::models::Catalogue`].
    pub models: Vec<String>,
    /// How long it may be silent.
    pub timeouts: Timeouts,
    /// Where it says which models it lists; none where nobody asks.
    pub listings: Option<watch::Sender<Listings>>,
}

impl ProviderConfig {
    /// A provider with its dialect's own timeouts and no models beyond the catalogue's.
    pub fn new(name: ProviderName, dialect: Dialect, base_url: impl Into<String>, key: Key) -> Self {
        let timeouts = Timeouts::of(dialect);
        Self { name, dialect, base_url: base_url.into(), key, models: Vec::new(), timeouts, listings: None }
    }
}
