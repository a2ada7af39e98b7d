//! A daemon between two doubles: Kimi's and GLM's, each with a key of its own, over a database.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::time::Duration;

use exai_actors::clock;
use exai_upstream::{Entry, Make, Script, Upstream};

use crate::client::Client;
use crate::database::Database;
use crate::server::{SOON, Server, Setup};

/// Everything that one test needs.
pub struct World {
    pub server: Server,
    pub kimi: Upstream,
    pub glm: Upstream,
    pub db: Database,
}

impl World {
    /// Starts all of it over a file.
    pub async fn start() -> Self {
        Self::with(Database::sqlite(), |_| {}).await
    }

    /// Starts all of it.
    pub async fn with(db: Database, setup: impl FnOnce(&mut Setup)) -> Self {
        let (kimi, glm) = (Upstream::start(Make::Kimi).unwrap(), Upstream::start(Make::Glm).unwrap());
        let server = Server::start(|with| {
            with.provider("kimi", &kimi).provider("glm", &glm).set("EXAI_STORAGE__URL", &db.url);
            setup(with);
        })
        .await;
        Self { server, kimi, glm, db }
    }

    /// A connection that is ready to ask.
    pub async fn client(&self) -> Client {
        Client::connect(&self.server).await
    }

    /// Waits until so many clients' rows stand, so that no write of theirs is under way.
    pub async fn until_introduced(&self, clients: i64) {
        let by = clock::now() + SOON;
        while self.db.number("SELECT count(*) AS n FROM sessions").await < clients {
            assert!(clock::now() < by, "a session was not written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What Kimi's double does with its next request.
    pub fn next(&self, script: &str) {
        self.kimi.push_script(Script::of(script));
    }

    /// Waits until that many requests have reached Kimi's double.
    pub async fn until_asked(&self, count: usize) {
        until_journal(&self.kimi, |entries| entries.len() >= count).await;
    }

    /// Waits until nothing in the journal is open.
    pub async fn until_closed(&self) {
        let by = clock::now() + SOON;
        while self.db.open_rows().await > 0 {
            assert!(clock::now() < by, "rows stay open: {:?}", self.db.states().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits until the journal of a double is as the test wants it.
pub async fn until_journal(double: &Upstream, holds: impl Fn(&[Entry]) -> bool) {
    let by = clock::now() + SOON;
    while !holds(&double.journal()) {
        assert!(clock::now() < by, "the journal never came to it: {:?}", double.journal());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
