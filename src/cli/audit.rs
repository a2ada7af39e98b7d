//! `exai audit`: holds the counters of the running daemon against its journal and its rollups. It changes nothing.

mod books;

use std::process::ExitCode;
use std::time::Duration;

use exai_actors::clock::{self, UtcMillis};
use exai_actors::health::HealthBoard;
use exai_actors::storage::Store;

use super::args::Audit;
use super::{Failure, block_on, output, target};
use crate::config::{Config, Inputs};
use crate::security::Token;
use books::{Scraped, Unreadable, differences};

/// How often they are compared until they agree: counters reach the database with the flush after.
const EVERY: Duration = Duration::from_secs(1);

/// Compares everything since the process started. Exits 0 when nothing differs, 1 when something still does after the time given.
pub(super) fn run(inputs: &Inputs, audit: &Audit) -> Result<ExitCode, Failure> {
    let config = Config::load(inputs)?;
    let token = Token::of(&config)?;
    let found = block_on(until_equal(&config, &token, Duration::from_secs(audit.within)))?;
    for line in &found {
        output::say(output::harmless(line))?;
    }
    if found.is_empty() {
        output::say("the counters, the journal and the rollups agree")?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

async fn until_equal(config: &Config, token: &Token, within: Duration) -> Result<Vec<String>, Failure> {
    let store = Store::open(&config.storage.url, 1, HealthBoard::default()).map_err(Failure::of)?;
    let give_up_at = clock::now() + within;
    loop {
        let found = compare(config, token, &store).await?;
        if found.is_empty() || clock::now() >= give_up_at {
            return Ok(found);
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn compare(config: &Config, token: &Token, store: &Store) -> Result<Vec<String>, Failure> {
    let text = target::get_text(&config.listen, "/metrics", token).await.map_err(Failure::of)?;
    let scraped = Scraped::read(&text);
    let replica = scraped.build("replica").ok_or(Unreadable).map_err(Failure::of)?;
    let life = scraped.build("life").ok_or(Unreadable).map_err(Failure::of)?;
    let since = scraped.started_at_ms().ok_or(Unreadable).map_err(Failure::of)?;
    let books = store.books(replica, UtcMillis(since), life).await.map_err(Failure::of)?;
    Ok(differences(&scraped, &books))
}
