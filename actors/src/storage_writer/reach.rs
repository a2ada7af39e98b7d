//! Whether the database is there. Once it has failed, nobody waits for it but one probe, which asks again and again until it takes
//! writes; everyone else is refused at once.

use std::future;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::link::Link;
use crate::storage::job::{Done, Down, Job};

/// The wait before the first probe; it doubles with each further one.
const PROBE_AFTER: Duration = Duration::from_millis(50);
/// The longest wait between two probes.
const PROBE_AFTER_MAX: Duration = Duration::from_secs(1);

/// The way to the database.
pub(super) struct Reach {
    /// Without a connection while a probe is under way, which has it.
    link: Link,
    away: Option<Away>,
}

/// A database that is not there.
struct Away {
    why: String,
    probes: u32,
    probe: LocalBoxFuture<'static, (Link, Option<Down>)>,
}

impl Reach {
    pub(super) fn new(link: Link) -> Self {
        Self { link, away: None }
    }

    /// Does a job; refuses it at once while the database is away.
    pub(super) async fn run(&mut self, job: Job) -> Done {
        if let Some(away) = &self.away {
            return Done::unavailable(job.records(), Down::because(&away.why));
        }
        let done = self.link.run(job).await;
        if let Some(down) = &done.down {
            self.probe(down.words.clone(), 0);
        }
        done
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// How the probe that is under way ends; never while there is none. Dropping the future loses nothing.
    pub(super) async fn probed(&mut self) -> Option<Down> {
        let Some(away) = &mut self.away else { return future::pending().await };
        let (link, down) = (&mut away.probe).await;
        let probes = away.probes.saturating_add(1);
        self.link = link;
        match &down {
            Some(down) => self.probe(down.words.clone(), probes),
            None => self.away = None,
        }
        down
    }

    fn probe(&mut self, why: String, probes: u32) {
        let wait = PROBE_AFTER.saturating_mul(2u32.saturating_pow(probes)).min(PROBE_AFTER_MAX);
        let mut link = self.link.take();
        let probe = async move {
            tokio::time::sleep(wait).await;
            let done = link.run(Job::Ping { thoroughly: true }).await;
            (link, done.down)
        };
        self.away = Some(Away { why, probes, probe: probe.boxed_local() });
    }
}
