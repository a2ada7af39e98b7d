//! The counting: who merges and stores the sums, and that every thread hands in what it counts.

use actix_rt::Arbiter;
use exai_actors::clock;
use exai_actors::dispatcher::messages::Load;
use exai_actors::meter;
use exai_actors::metrics::{self, Flushing, Handles};
use tokio::sync::watch;

use super::Deaths;
use super::storage::Stored;
use crate::config::Config;
use crate::replica::Replica;
use crate::routes::{self, Scrape};

/// The running counting.
pub(super) struct Counted {
    /// The actor.
    pub(super) metrics: Handles,
    /// Where the dispatcher publishes its load.
    pub(super) load: watch::Sender<Load>,
    /// What `/metrics` reads.
    pub(super) scrape: Scrape,
}

/// Starts it on the first of `threads`, which is where calls are counted, and ties all of them and this one to it.
pub(super) fn start(
    config: &Config,
    replica: &Replica,
    storage: Stored,
    threads: [(&'static str, &Arbiter); 2],
    deaths: &Deaths,
) -> Counted {
    let flushing = Flushing {
        writer: storage.writer,
        every: config.metrics.flush,
        life: replica.life().clone(),
        memory_bytes: || routes::resident_bytes().unwrap_or_default(),
    };
    let wiring = metrics::Wiring { arbiter: &threads[0].1.handle(), flushing: Some(flushing) };
    let metrics = metrics::start(wiring, deaths.clone().of("metrics", false));
    for (name, arbiter) in threads {
        let deltas = metrics.deltas.clone();
        // A thread that has ended counts nothing.
        let _ = arbiter.spawn_fn(move || meter::attach(name, &deltas));
    }
    meter::attach("main", &metrics.deltas);
    let (load, seen) = watch::channel(Load::default());
    let scrape = Scrape {
        published: metrics.published.clone(),
        load: seen,
        facts: storage.facts,
        replica: replica.identity().to_owned(),
        life: replica.life().id.clone(),
        started_at: clock::utc_now(),
    };
    Counted { metrics, load, scrape }
}
