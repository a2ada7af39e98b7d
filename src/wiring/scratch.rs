//! A whole system of its own for the operator's test: a double of a provider in this process, scratch keys, a database in a folder that
//! goes with it. Nothing of it is any real provider's, journal's, bill's, metric's or health's.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Arbiter};
use exai_actors::dispatcher::admission::Limits;
use exai_actors::dispatcher::{Dispatcher, ProviderLink, Setup};
use exai_actors::health::HealthBoard;
use exai_actors::ids::ProviderName;
use exai_actors::metrics;
use exai_actors::models::{BadCatalogue, Catalogue, CurrentCatalogue, Model};
use exai_actors::provider::dialect::Dialect;
use exai_actors::provider::endpoint::{EndpointError, Key};
use exai_actors::provider_supervisor::{self, ProviderConfig, ProviderSupervisor};
use exai_actors::storage::{self, Durability, MigrateError, StorageError, Store, Url};
use exai_actors::storage_writer;
use exai_upstream::{Make, Script, Upstream};
use tempfile::TempDir;
use tokio::sync::watch;

/// The provider, the principal, the key and the replica of everything in it.
pub(crate) const NAME: &str = "trial";
/// Its one model, which nobody prices.
const MODEL: &str = "trial-model";
/// Calls at the same time; the test makes one.
const CALLS_MAX: usize = 4;
/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// What the double answers: a dozen words at a quick pace.
const ANSWER: &str = "tokens=12+pace=1";

/// The running system.
pub(crate) struct Scratch {
    pub(crate) double: Upstream,
    pub(crate) dispatcher: Addr<Dispatcher>,
    pub(crate) supervisor: Addr<ProviderSupervisor>,
    pub(crate) store: Store,
    pub(crate) model: Arc<Model>,
    _folder: TempDir,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScratchError {
    /// No folder, no port or no thread.
    #[error("a scratch folder or the double could not be had")]
    Io(#[from] io::Error),
    /// Its database.
    #[error("the scratch database could not be made")]
    Migrate(#[from] MigrateError),
    /// Its database.
    #[error("the scratch database could not be opened")]
    Storage(#[from] StorageError),
    /// The double's address.
    #[error("the double could not be reached")]
    Endpoint(#[from] EndpointError),
    /// The catalogue.
    #[error("the model catalogue could not be read")]
    Catalogue(#[from] BadCatalogue),
    /// The catalogue has not what was put into it: a defect of ours.
    #[error("the scratch model is not in the catalogue")]
    NoModel,
    /// The test's thread died or took too long.
    #[error("the test did not come to its end")]
    Lost,
}

impl Scratch {
    /// Starts all of it on this thread, which must be an arbiter that no meter is attached to.
    pub(crate) async fn start(within: Option<&Path>) -> Result<Self, ScratchError> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("exai-trial-");
        let folder = match within {
            Some(within) => folder.tempdir_in(within)?,
            None => folder.tempdir()?,
        };
        let url = Url::sqlite(folder.path().join("trial.db"));
        storage::migrate(&url)?;
        let (arbiter, board) = (Arbiter::current(), HealthBoard::default());
        let writer = storage_writer::Wiring {
            arbiter: &arbiter,
            url: url.clone(),
            durability: Durability::Process,
            board: board.clone(),
            facts: watch::channel(Default::default()).0,
            limits: Default::default(),
            spool: None,
        };
        let writer = storage_writer::start(writer, |_| {});
        let store = Store::open(&url, 2, board.clone())?;
        let double = Upstream::start(Make::OpenAi)?;
        double.set_default(Script::of(ANSWER));
        let metrics = metrics::start(metrics::Wiring { arbiter: &arbiter, flushing: None }, |_| {}).address;
        let (name, key) = (ProviderName::from(NAME), Key::new(NAME));
        let provider = ProviderConfig::new(name.clone(), Dialect::OpenAi, double.base_url(), key);
        let wiring = provider_supervisor::Wiring { arbiter: &arbiter, board, metrics };
        let supervisor = provider_supervisor::start(&provider, wiring, |_, _| {})?;
        let catalogue = Catalogue::new([(name.clone(), vec![MODEL.to_owned()])].into_iter())?;
        let model = catalogue.resolve(MODEL).map_err(|_| ScratchError::NoModel)?.clone();
        let link = ProviderLink { supervisor: supervisor.clone(), host: double.addr().to_string() };
        let setup = Setup {
            catalogue: CurrentCatalogue::fixed(catalogue),
            default_model: MODEL.to_owned(),
            limits: Limits {
                global: CALLS_MAX,
                per_session: CALLS_MAX,
                per_conversation: 1,
                per_provider: [(name.clone(), CALLS_MAX)].into(),
            },
            queue_wait: DEADLINE,
            deadline: DEADLINE,
            replica: NAME.to_owned(),
            store: store.clone(),
            writer,
            load: watch::channel(Default::default()).0,
            providers: BTreeMap::from([(name, link)]),
        };
        let dispatcher = Dispatcher::start(&arbiter, setup, |_| {});
        Ok(Self { double, dispatcher, supervisor, store, model, _folder: folder })
    }
}
