//! Who watches the process: its vital signs for the health board, and what an operator is to be woken for.

use actix_rt::Arbiter;
use exai_actors::health::HealthBoard;
use exai_actors::storage::Store;

use crate::alerts::Alerts;
use crate::config::Config;
use crate::replica::Replica;
use crate::routes::Scrape;
use crate::vitals::{Beats, Vitals};

/// Starts the watching of these threads and of everything else.
pub(super) fn watch(
    config: &Config,
    replica: &Replica,
    board: &HealthBoard,
    scrape: &Scrape,
    store: &Store,
    threads: [(&'static str, &Arbiter); 2],
) {
    let vitals = Vitals {
        board: board.clone(),
        published: scrape.published.clone(),
        load: scrape.load.clone(),
        facts: scrape.facts.clone(),
        spool: replica.spool(config.storage.spool_mib << 20),
        data_folder: config.storage.state_folder.clone(),
    };
    let alerts = Alerts {
        board: board.clone(),
        published: scrape.published.clone(),
        facts: scrape.facts.clone(),
        store: store.clone(),
        settings: config.alerts.clone(),
        replica: replica.identity().to_owned(),
    };
    actix_rt::spawn(vitals.watch(Beats::start(threads)));
    actix_rt::spawn(alerts.watch());
}
