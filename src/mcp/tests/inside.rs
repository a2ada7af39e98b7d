//! The inside of a server that has nobody to ask: what these tests call answers at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix::dev::channel::channel;
use actix_rt::Arbiter;
use exai_actors::clock;
use exai_actors::dispatcher::admission::Limits;
use exai_actors::dispatcher::{Dispatcher, Setup};
use exai_actors::health::HealthBoard;
use exai_actors::metrics::Metrics;
use exai_actors::models::Catalogue;
use exai_actors::storage::{self, Durability, Store, Url};
use exai_actors::storage_writer::{self, Wiring};
use exai_actors::tools::{About, Parts, Toolbox};
use tempfile::TempDir;
use tokio::sync::watch;

const LONG: Duration = Duration::from_secs(30);

/// A toolbox whose actors have all gone, for handlers that never use it.
pub(super) fn nobody() -> Toolbox {
    let url = Url::sqlite("nowhere.db");
    let store = Store::open(&url, 1, HealthBoard::default()).unwrap();
    let (dispatcher, metrics) = (Addr::new(channel(1).0), Addr::new(channel(1).0));
    let about = about(Arc::new(Catalogue::new(std::iter::empty()).unwrap()), HealthBoard::default());
    Toolbox::new(Parts { dispatcher, metrics, store, about })
}

/// A toolbox over real actors on this thread, and the folder of its database.
pub(super) fn toolbox() -> io::Result<(Toolbox, TempDir)> {
    let folder = tempfile::tempdir()?;
    let url = Url::sqlite(folder.path().join("exai.db"));
    storage::migrate(&url).map_err(io::Error::other)?;
    let arbiter = Arbiter::current();
    let board = HealthBoard::default();
    let durability = Durability::Process;
    let store = Store::open(&url, 1, board.clone()).map_err(io::Error::other)?;
    let facts = watch::channel(Default::default()).0;
    let limits = Default::default();
    let wiring =
        Wiring { arbiter: &arbiter, url, durability, board: board.clone(), facts, limits, spool: None };
    let metrics = Metrics::start(&arbiter, |_| {});
    let catalogue = Arc::new(Catalogue::new(std::iter::empty()).map_err(io::Error::other)?);
    let setup = Setup {
        catalogue: Arc::clone(&catalogue),
        default_model: "none".to_owned(),
        limits: Limits { global: 1, per_session: 1, per_conversation: 1, per_provider: Default::default() },
        queue_wait: LONG,
        deadline: LONG,
        replica: "test".to_owned(),
        store: store.clone(),
        writer: storage_writer::start(wiring, |_| {}),
        metrics: metrics.clone(),
        providers: Default::default(),
    };
    let dispatcher = Dispatcher::start(&arbiter, setup, |_| {});
    let about = about(catalogue, board);
    Ok((Toolbox::new(Parts { dispatcher, metrics, store, about }), folder))
}

fn about(catalogue: Arc<Catalogue>, board: HealthBoard) -> About {
    About {
        version: env!("CARGO_PKG_VERSION"),
        started: clock::now(),
        catalogue,
        default_model: "none".to_owned(),
        left_out: Default::default(),
        board,
    }
}
