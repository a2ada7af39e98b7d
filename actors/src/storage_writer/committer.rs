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
use crate::clock;
use crate::health::{HealthBoard, Status};
use crate::storage::job::{Done, Job};
use crate::storage::{Durability, Url};

/// The name on the health board.
pub const COMPONENT: &str = "storage";
/// How often the database is asked whether it is there, while nothing is written.
const PING_EVERY: Duration = Duration::from_secs(2);

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
}

/// Commits what waits, for ever.
pub(super) async fn run(waiting: Rc<Waiting>, setup: Setup) {
    let mut link = Link::new(setup.url.clone(), setup.durability);
    let mut well = setup.ping(&mut link, true).await;
    loop {
        if tokio::time::timeout(PING_EVERY, waiting.wake.notified()).await.is_err() {
            // After a failure only a write shows that writes go through again.
            well = setup.ping(&mut link, !well).await;
            continue;
        }
        loop {
            let taken = waiting.batch.borrow_mut().take();
            if taken.is_empty() {
                break;
            }
            well = setup.commit(&mut link, &waiting, taken).await;
        }
    }
}

impl Setup {
    async fn commit(&self, link: &mut Link, waiting: &Waiting, taken: Vec<(Record, Caller)>) -> bool {
        let started = clock::now();
        let rows = taken.len();
        waiting.in_flight.set(rows);
        let (records, callers) = taken.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        let done = link.run(Job::Write(Arc::new(records))).await;
        assert_eq!(done.outcomes.len(), rows, "each record has an outcome");
        self.publish(&done, clock::now() - started, waiting);
        // Who hears that the database is away finds the board saying so.
        let well = self.report(&done);
        for (caller, outcome) in callers.into_iter().zip(done.outcomes.iter().cloned()) {
            // Nobody need listen.
            drop(caller.send(outcome));
        }
        waiting.settle();
        well
    }

    async fn ping(&self, link: &mut Link, thoroughly: bool) -> bool {
        let done = link.run(Job::Ping { thoroughly }).await;
        self.report(&done)
    }

    fn publish(&self, done: &Done, took: Duration, waiting: &Waiting) {
        let count = |outcome: fn(&Result<Written, WriteError>) -> bool| {
            u64::try_from(done.outcomes.iter().filter(|one| outcome(one)).count()).unwrap_or(u64::MAX)
        };
        self.facts.send_modify(|facts| {
            facts.commits += done.commits;
            facts.records += count(|outcome| outcome.is_ok());
            facts.refused += count(|outcome| *outcome == Err(WriteError::Refused));
            facts.unavailable += count(|outcome| *outcome == Err(WriteError::Unavailable));
            facts.last_batch = done.outcomes.len();
            facts.last_commit = took;
            facts.waiting = waiting.batch.borrow().waiting();
            if done.commits > 0 {
                facts.last_commit_at = Some(clock::utc_now());
            }
        });
    }

    /// Tells the board how the database is, and the log when that changes.
    fn report(&self, done: &Done) -> bool {
        let (status, detail) = match &done.down {
            None => (Status::Ok, format!("{}, {}", self.url.kind(), self.durability.in_words())),
            Some(down) => (Status::Down, down.words.clone()),
        };
        let before = self.board.get(COMPONENT).map(|health| health.status);
        match (before, &done.down) {
            (None | Some(Status::Ok | Status::Degraded), Some(down)) => {
                log::error!(url:% = self.url; "the database is not available: {}", down.words);
            }
            (Some(Status::Down), None) => log::info!(url:% = self.url; "the database is available again"),
            (Some(Status::Down), Some(_)) | (None | Some(Status::Ok | Status::Degraded), None) => {}
        }
        self.board.set(COMPONENT, status, detail, clock::utc_now());
        status == Status::Ok
    }
}
