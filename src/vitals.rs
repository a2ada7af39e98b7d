//! The vital signs of the process: looked at every two seconds and told to the health board, so that a probe reads what is there
//! and waits for nobody. What they mean is decided in `judge`; here they are only gathered. It asks no actor.

mod judge;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use exai_actors::clock::{self, Instant, Moment};
use exai_actors::dispatcher::messages::Load;
use exai_actors::health::HealthBoard;
use exai_actors::meter::Counter;
use exai_actors::metrics::Snapshot;
use exai_actors::storage::SpoolSettings;
use exai_actors::storage_writer::messages::WriterFacts;
use tokio::sync::watch;

use crate::routes;
use judge::{Disk, Judge, Signs, SpoolSigns, Thread};

/// The part that says whether the threads turn and the actors live; `Down` when a thread that calls need stands still.
pub(crate) const ACTORS: &str = "actors";

/// How often it is looked: a sickness shows in `/health` within 5 s.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often each thread says that it turns.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long a file system may take to say how much room it has.
const DISK_WITHIN: Duration = Duration::from_secs(2);

/// Where the signs are.
pub(crate) struct Vitals {
    /// Who is told.
    pub(crate) board: HealthBoard,
    /// The sums.
    pub(crate) published: watch::Receiver<Arc<Snapshot>>,
    /// The permits.
    pub(crate) load: watch::Receiver<Load>,
    /// The writer's word.
    pub(crate) facts: watch::Receiver<WriterFacts>,
    /// The spool of this process, if it has one.
    pub(crate) spool: Option<SpoolSettings>,
    /// A folder on the disk on which the data lies, if any is on this machine.
    pub(crate) data_folder: Option<PathBuf>,
}

/// When each thread last said that it turns.
pub(crate) struct Beats(Vec<(&'static str, watch::Receiver<Instant>)>);

impl Beats {
    /// Has each of these threads beat from now on.
    pub(crate) fn start(threads: [(&'static str, &Arbiter); 2]) -> Self {
        Self(threads.map(|(name, arbiter)| (name, beat(&arbiter.handle()))).into())
    }

    fn threads(&self, now: Instant) -> Vec<Thread> {
        let late = |last: Instant| now.saturating_duration_since(last).saturating_sub(BEAT_EVERY);
        self.0.iter().map(|(name, last)| Thread { name, late: late(*last.borrow()) }).collect()
    }
}

fn beat(arbiter: &ArbiterHandle) -> watch::Receiver<Instant> {
    let (told, last) = watch::channel(clock::now());
    // A thread that has ended beats no more, and that is what is to be seen.
    let _ = arbiter.spawn(async move {
        while told.send(clock::now()).is_ok() {
            tokio::time::sleep(BEAT_EVERY).await;
        }
    });
    last
}

impl Vitals {
    /// Looks, for ever.
    pub(crate) async fn watch(self, beats: Beats) {
        let mut judge = Judge::default();
        // A look at the disk that does not come back is not joined by a second one.
        let mut looking = None;
        loop {
            let disk = self.disk(&mut looking).await;
            let moment = Moment::read();
            let signs = self.signs(&beats, disk, moment);
            for finding in judge.judge(&signs, moment) {
                self.board.set(finding.part, finding.status, finding.detail, moment.utc);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn signs(&self, beats: &Beats, disk: Disk, moment: Moment) -> Signs {
        let (load, facts) = (self.load.borrow().clone(), *self.facts.borrow());
        let restarts = self.published.borrow().of(Counter::ActorRestarts).map(|(_, count)| count).sum();
        let spool = self.spool.as_ref().map(|spool| SpoolSigns {
            rows: facts.spool_rows,
            bytes: facts.spool_bytes,
            bytes_max: spool.bytes_max,
            damaged: spool.path.with_extension("damaged").exists(),
        });
        Signs {
            threads: beats.threads(moment.now),
            restarts,
            records_waiting: facts.waiting,
            in_flight: load.in_flight,
            waiting: load.waiting,
            permits: load.permits.first().map_or(0, |global| global.limit),
            spool,
            disk,
            resident_bytes: routes::resident_bytes(),
        }
    }

    async fn disk(&self, looking: &mut Option<tokio::task::JoinHandle<Disk>>) -> Disk {
        let Some(folder) = self.data_folder.clone() else { return Disk::None };
        let look = looking.get_or_insert_with(|| tokio::task::spawn_blocking(move || room(folder)));
        match tokio::time::timeout(DISK_WITHIN, look).await {
            Ok(seen) => {
                *looking = None;
                seen.unwrap_or(Disk::Silent)
            }
            Err(_) => Disk::Silent,
        }
    }
}

/// What the file system of that folder says; the nearest parent that is there stands for one that is not.
fn room(mut folder: PathBuf) -> Disk {
    loop {
        match rustix::fs::statvfs(&folder) {
            Ok(seen) => {
                return Disk::Room {
                    free: seen.f_bavail.saturating_mul(seen.f_frsize),
                    size: seen.f_blocks.saturating_mul(seen.f_frsize),
                };
            }
            Err(rustix::io::Errno::NOENT) if folder.pop() => {}
            Err(_) => return Disk::Silent,
        }
    }
}
