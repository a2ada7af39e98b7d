//! Where the vital signs of the process are.

use exai_actors::health::HealthBoard;

use crate::config::Config;
use crate::replica::Replica;
use crate::routes::Scrape;
use crate::vitals::Vitals;

/// Where the vital signs are.
pub(super) fn vitals(config: &Config, replica: &Replica, board: &HealthBoard, scrape: &Scrape) -> Vitals {
    Vitals {
        board: board.clone(),
        published: scrape.published.clone(),
        load: scrape.load.clone(),
        facts: scrape.facts.clone(),
        spool: replica.spool(config.storage.spool_mib << 20),
        data_folder: config.storage.state_folder.clone(),
    }
}
