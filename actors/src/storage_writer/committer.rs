//! The one task that writes: it takes what waits, commits it, and answers. It outlives the actor's restarts, so that a commit in
//! flight is lost to nobody; two of them never run at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};

use super::batch::{Batch, Limits};
use super::link::Link;
use super::messages::{Record, Write, WriteError, WriterFacts, Written};
use super::reach::Reach;
use super::spooling::Spooling;
use crate::clock;
use crate::events::{self, Direction, Facts, Kind, Lot, Weight};
use crate::health::{HealthBoard, Status};
use crate::meter::{self, Distribution};
use crate::storage::job::{Done, Down, Job, Rules};
use crate::storage::spool::SpoolSettings;
use crate::storage::{Durability, Url};

/// The name on the health board.
pub const COMPONENT: &str = "storage";
/// How often the database is asked whether it is there, while nothing is written.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long the database may be silent before the board says so: with the above it is said within 5 s.
const SILENT_AFTER: Duration = Duration::from_secs(2);

/// Where an outcome goes.
type Caller = oneshot::Sender<Result<Written, WriteError>>;

/// What waits, shared by the actor and its task on the one thread of both.
pub(super) struct Waiting {
    batch: RefCell<Batch<(Record, Caller), oneshot::Sender<()>>>,
    in_flight: Cell<usize>,
    wake: Notify,
}

impl Waiting {
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            batch: RefCell::new(Batch::new(limits)),
            in_flight: Cell::new(0),
            wake: Notify::new(),
        })
    }

    /// Takes a write in, or answers that there is no room.
    pub(super) fn push(&self, write: Write) {
        let bytes = write.record.bytes();
        let refused = self.batch.borrow_mut().push((write.record, write.done), bytes).err();
        match refused {
            None => self.wake.notify_one(),
            Some((_, done)) => drop(done.send(Err(WriteError::Full))),
        }
    }

    /// Answers `done` when everything before it is settled.
    pub(super) fn flush(&self, done: oneshot::Sender<()>) {
        if let Some(done) = self.batch.borrow_mut().flush(done) {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }

    /// The rows in flight have their outcome, be it that the task that had them is gone.
    pub(super) fn settle(&self) {
        for flush in self.batch.borrow_mut().settle(self.in_flight.take()) {
            // Whoever asked may have gone.
            let _ = flush.send(());
        }
    }

    /// Wakes a task that was started while writes waited.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// What the task is made of.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) url: Url,
    pub(super) durability: Durability,
    pub(super) board: HealthBoard,
    pub(super) facts: watch::Sender<WriterFacts>,
    pub(super) limits: Limits,
    pub(super) spool: Option<SpoolSettings>,
}

/// What there is to do.
enum Due {
    Writes,
    Look,
    /// The probe of a database that was away has ended.
    Probed(Option<Down>),
}

/// Commits what waits, for ever.
pub(super) async fn run(waiting: Rc<Waiting>, setup: Setup) {
    let reach = Reach::new(Link::new(setup.url.clone(), setup.durability));
    let spooling = Spooling::open(setup.spool.clone()).await;
    let mut committer = Committer { setup, reach, spooling, waiting: Rc::clone(&waiting) };
    committer.look(true).await;
    loop {
        let due = tokio::select! {
            () = waiting.wake.notified() => Due::Writes,
            due = committer.due() => due,
        };
        match due {
            Due::Writes => committer.commit_all().await,
            Due::Look => committer.look(false).await,
            Due::Probed(down) => committer.probed(down).await,
        }
    }
}

struct Committer {
    setup: Setup,
    reach: Reach,
    spooling: Spooling,
    waiting: Rc<Waiting>,
}

impl Committer {
    /// Waits for what is due beside the writes; dropping the future loses nothing.
    async fn due(&mut self) -> Due {
        if self.reach.is_away() {
            return Due::Probed(self.reach.probed().await);
        }
        tokio::time::sleep(PING_EVERY).await;
        Due::Look
    }

    async fn commit_all(&mut self) {
        loop {
            let taken = self.waiting.batch.borrow_mut().take();
            if taken.is_empty() {
                break;
            }
            self.commit(taken).await;
        }
    }

    async fn commit(&mut self, taken: Vec<(Record, Caller)>) {
        let started = clock::now();
        let rows = taken.len();
        self.waiting.in_flight.set(rows);
        let (records, callers) = taken.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        let records = Arc::new(records);
        let mut done = match self.replay().await {
            Ok(()) => {
                let job = Job::Write(Arc::clone(&records), self.rules());
                telling(&self.setup.board, self.reach.run(job)).await
            }
            Err(down) => Done::unavailable(rows, down),
        };
        assert_eq!(done.outcomes.len(), rows, "each record has an outcome");
        self.spooling.keep(&records, &mut done.outcomes).await;
        let took = clock::now() - started;
        self.publish(&done, took);
        self.tell_commit(&done, took);
        // Who hears that the database is away finds the board saying so.
        self.report(done.down.as_ref());
        for (caller, outcome) in callers.into_iter().zip(done.outcomes.iter().cloned()) {
            // Nobody need listen.
            drop(caller.send(outcome));
        }
        self.waiting.settle();
    }

    /// Asks how the database is, and writes what waits in the spool if it is well.
    async fn look(&mut self, thoroughly: bool) {
        self.spooling.reopen().await;
        let down = telling(&self.setup.board, self.reach.run(Job::Ping { thoroughly })).await.down;
        self.seen(down).await;
    }

    /// The same, where a probe has asked.
    async fn probed(&mut self, down: Option<Down>) {
        self.spooling.reopen().await;
        self.seen(down).await;
    }

    async fn seen(&mut self, mut down: Option<Down>) {
        if down.is_none() {
            down = self.replay().await.err();
        }
        self.publish_spool();
        self.report(down.as_ref());
    }

    async fn replay(&mut self) -> Result<(), Down> {
        if self.reach.is_away() {
            // The next job is refused with the reason, and nothing need be read from the disk for that.
            return Ok(());
        }
        let rules = self.rules();
        self.spooling.replay(&mut self.reach, rules).await
    }

    fn rules(&self) -> Rules {
        Rules { result_ttl: self.setup.limits.result_ttl }
    }

    fn publish(&self, done: &Done, took: Duration) {
        meter::record(Distribution::StorageBatchRows, u64::try_from(done.outcomes.len()).unwrap_or(u64::MAX));
        meter::observe(Distribution::StorageCommit, took);
        let count = |outcome: fn(&Result<Written, WriteError>) -> bool| {
            u64::try_from(done.outcomes.iter().filter(|one| outcome(one)).count()).unwrap_or(u64::MAX)
        };
        self.setup.facts.send_modify(|facts| {
            facts.commits += done.commits;
            facts.records += count(|outcome| outcome.is_ok());
            facts.refused += count(|outcome| *outcome == Err(WriteError::Refused));
            facts.unavailable +=
                count(|outcome| matches!(outcome, Err(WriteError::Unavailable | WriteError::Uncertain)));
            facts.last_batch = done.outcomes.len();
            facts.last_commit = took;
            facts.waiting = self.waiting.batch.borrow().waiting();
            if done.commits > 0 {
                facts.last_commit_at = Some(clock::utc_now());
            }
        });
        self.publish_spool();
    }

    /// Tells the connection monitor of a commit.
    fn tell_commit(&self, done: &Done, took: Duration) {
        let outcome = if done.down.is_some() { "unavailable" } else { "committed" };
        let (direction, weight) = (Direction::Out, Weight::Frequent);
        let lot = Lot { kind: Kind::Database, direction, outcome: outcome.into(), weight };
        events::note(lot, || Facts { peer: self.setup.url.kind().into(), took, ..Facts::default() });
    }

    /// Tells the connection monitor that the database went, or is there.
    fn tell_moved(&self, direction: Direction, outcome: &'static str) {
        let lot = Lot { kind: Kind::Database, direction, outcome: outcome.into(), weight: Weight::Lasting };
        events::note(lot, || Facts { peer: self.setup.url.kind().into(), ..Facts::default() });
    }

    fn publish_spool(&self) {
        let (rows, bytes, replayed) = (self.spooling.rows(), self.spooling.bytes(), self.spooling.replayed());
        self.setup.facts.send_if_modified(|facts| {
            let before = (facts.spool_rows, facts.spool_bytes, facts.spool_replayed);
            (facts.spool_rows, facts.spool_bytes, facts.spool_replayed) = (rows, bytes, replayed);
            before != (rows, bytes, replayed)
        });
    }

    /// Tells the board how the database is, and the log when that changes.
    fn report(&self, down: Option<&Down>) {
        let Setup { url, durability, board, .. } = &self.setup;
        let (status, mut detail) = match down {
            None => (Status::Ok, format!("{}, {}", url.kind(), durability.in_words())),
            Some(down) => (Status::Down, down.words.clone()),
        };
        let before = board.get(COMPONENT).map(|health| health.status);
        match (before, down) {
            (None | Some(Status::Ok | Status::Degraded), Some(down)) => {
                log::error!(url:%; "the database is not available: {}", down.words);
                self.tell_moved(Direction::Close, "down");
            }
            (Some(Status::Down), None) => {
                log::info!(url:%; "the database is available again");
                self.tell_moved(Direction::Open, "up");
            }
            (None, None) => self.tell_moved(Direction::Open, "up"),
            (Some(Status::Down), Some(_)) | (Some(Status::Ok | Status::Degraded), None) => {}
        }
        detail.push_str(&self.spooling.in_words());
        board.set(COMPONENT, status, detail, clock::utc_now());
    }
}

/// Waits for the database, and tells the board while it is silent.
async fn telling<T>(board: &HealthBoard, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(SILENT_AFTER, &mut work).await {
        return done;
    }
    if board.get(COMPONENT).is_none_or(|health| health.status != Status::Down) {
        let detail = format!("the database has been silent for {} s", SILENT_AFTER.as_secs());
        board.set(COMPONENT, Status::Degraded, detail, clock::utc_now());
    }
    work.await
}
