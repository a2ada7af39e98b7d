//! The catalogue as it is known now: what is configured, and what the providers have said since.

use std::sync::Arc;

use tokio::sync::watch;

use super::Catalogue;

/// The catalogue of this moment; clones see the same. Reading it waits for nobody.
#[derive(Debug, Clone)]
pub struct CurrentCatalogue(watch::Receiver<Arc<Catalogue>>);

impl CurrentCatalogue {
    /// One that follows what is published.
    pub fn following(published: watch::Receiver<Arc<Catalogue>>) -> Self {
        Self(published)
    }

    /// One that stays as it is.
    pub fn fixed(catalogue: Catalogue) -> Self {
        Self(watch::channel(Arc::new(catalogue)).1)
    }

    /// The models of this moment. A call takes it once, and so sees one catalogue.
    pub fn get(&self) -> Arc<Catalogue> {
        Arc::clone(&self.0.borrow())
    }
}
