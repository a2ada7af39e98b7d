//! What every consultation works with: the catalogue, the permits, the journal and the providers. Made once, shared by all.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::Addr;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::admission::Limits;
use super::late::Late;
use super::lately::Ended;
use super::messages::Load;
use super::permits::Permits;
use super::roster::Roster;
use crate::error::{CallError, ErrorKind};
use crate::ids::ProviderName;
use crate::models::CurrentCatalogue;
use crate::provider_supervisor::ProviderSupervisor;
use crate::storage::Store;
use crate::storage_writer::StorageWriter;

/// What the dispatcher is given at birth.
pub struct Setup {
    /// Which models there are.
    pub catalogue: CurrentCatalogue,
    /// The model of a new conversation whose caller names none.
    pub default_model: String,
    /// Who may run.
    pub limits: Limits,
    /// How long a call may wait for its permits.
    pub queue_wait: Duration,
    /// How long a call may take in all.
    pub deadline: Duration,
    /// This process, in the journal.
    pub replica: String,
    /// Reads.
    pub store: Store,
    /// Writes.
    pub writer: Addr<StorageWriter>,
    /// Where the load is published.
    pub load: watch::Sender<Load>,
    /// Every configured provider.
    pub providers: BTreeMap<ProviderName, ProviderLink>,
}

/// How a provider is reached from here.
#[derive(Debug, Clone)]
pub struct ProviderLink {
    /// Who decides whether a call may go there.
    pub supervisor: Addr<ProviderSupervisor>,
    /// Its host, with its port where that is not the scheme's own; for the journal.
    pub host: String,
}

/// The setup, with its limits at work.
pub(super) struct Desk {
    pub(super) setup: Setup,
    pub(super) permits: Permits,
    pub(super) roster: Roster,
    /// What ended lately.
    pub(super) ended: Ended,
    /// Ends that the journal does not have yet.
    pub(super) late: Late,
    /// Cancelled when the drain begins: what was not sent yet will not be.
    pub(super) draining: CancellationToken,
    /// Cancelled when the drain's time is over: what still runs is ended and answered.
    pub(super) leaving: CancellationToken,
}

impl Desk {
    pub(super) fn new(setup: Setup) -> Self {
        let permits = Permits::new(setup.limits.clone());
        Self {
            setup,
            permits,
            roster: Roster::default(),
            ended: Ended::default(),
            late: Late::default(),
            draining: CancellationToken::new(),
            leaving: CancellationToken::new(),
        }
    }

    /// What runs and waits now.
    pub(super) fn load(&self) -> Load {
        let (in_flight, waiting) = self.permits.load();
        Load {
            in_flight,
            waiting,
            live: self.roster.len(),
            draining: self.draining.is_cancelled(),
            permits: self.permits.gauges(),
        }
    }

    pub(super) fn link(&self, provider: &ProviderName) -> Result<&ProviderLink, CallError> {
        self.setup.providers.get(provider).ok_or_else(|| {
            let message = format!("Provider {provider} is not configured here. `listmodels` shows what is.");
            CallError::new(ErrorKind::UnknownModel, message)
        })
    }
}
