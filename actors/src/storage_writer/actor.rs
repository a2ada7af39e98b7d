//! The actor's mailbox: it takes writes in and sees to it that the one committing task runs. It does no I/O itself.

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Supervised};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::batch::Limits;
use super::committer::{self, Setup, Waiting};
use super::messages::{Flush, Record, Write, WriteError, WriterFacts, Written};
use super::retention;
use crate::faults::{self, Point};
use crate::health::HealthBoard;
use crate::mail::{self, MailError};
use crate::storage::{Durability, SpoolSettings, Url};
use crate::supervised::{self, Death, Intensity, Knock, Start};

/// How many messages may wait for the writer, before they are even taken into its batch.
const MAILBOX: usize = 4096;
/// How often the actor looks whether its task still runs.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long a caller waits for its write: the commit in flight, a batch or two before its own, and its own.
const WRITE_WITHIN: Duration = Duration::from_secs(15);

/// The one actor that writes to the database.
pub struct StorageWriter {
    kept: Kept,
}

/// What outlives a death: the writes that wait, and the task that commits them.
#[derive(Clone)]
struct Kept {
    setup: Setup,
    waiting: Rc<Waiting>,
    committer: Rc<JoinHandle<()>>,
}

/// What the writer is started with.
pub struct Wiring<'a> {
    /// The thread that it lives on; its own, for a commit may take milliseconds.
    pub arbiter: &'a ArbiterHandle,
    /// Where the database is; it must have been migrated.
    pub url: Url,
    /// What a write survives once it is acknowledged.
    pub durability: Durability,
    /// Where it says how the database is, as component `storage`.
    pub board: HealthBoard,
    /// Where it says what it has done.
    pub facts: watch::Sender<WriterFacts>,
    /// How much may wait, and for how long answers are kept.
    pub limits: Limits,
    /// Where outcomes wait while the database is away; without one their callers do.
    pub spool: Option<SpoolSettings>,
}

/// Starts the writer. `on_death` hears of every death of the actor; after [`Death::GaveUp`] nothing is written any more.
pub fn start(wiring: Wiring<'_>, on_death: impl Fn(Death) + Send + 'static) -> Addr<StorageWriter> {
    let Wiring { arbiter, url, durability, board, facts, limits, spool } = wiring;
    let setup = Setup { url, durability, board, facts, limits, spool };
    let start = Start { name: "storage_writer", arbiter, mailbox: MAILBOX, intensity: Intensity::default() };
    supervised::start(start, on_death, move |_| {
        let waiting = Waiting::new(limits);
        let committer = Rc::new(spawn(&waiting, &setup));
        StorageWriter { kept: Kept { setup, waiting, committer } }
    })
}

fn spawn(waiting: &Rc<Waiting>, setup: &Setup) -> JoinHandle<()> {
    waiting.wake();
    actix::spawn(committer::run(Rc::clone(waiting), setup.clone()))
}

/// Writes one record and waits until it is durable. Dropping the future does not take the write back.
pub async fn write(writer: &Addr<StorageWriter>, record: Record) -> Result<Written, WriteError> {
    let (done, outcome) = oneshot::channel();
    mail::tell(writer, Write { record, done }).map_err(|error| match error {
        MailError::Full => WriteError::Full,
        MailError::Closed | MailError::TimedOut => WriteError::Unavailable,
    })?;
    match tokio::time::timeout(WRITE_WITHIN, outcome).await {
        Ok(Ok(outcome)) => outcome,
        // The writer died with this message in hand, or the database hangs: nobody knows whether it was written.
        Ok(Err(_)) | Err(_) => Err(WriteError::Uncertain),
    }
}

/// Waits until everything that was taken before is durable or has failed, at most `within`.
pub async fn flush(writer: &Addr<StorageWriter>, within: Duration) -> Result<(), MailError> {
    let (done, flushed) = oneshot::channel();
    mail::tell(writer, Flush { done })?;
    match tokio::time::timeout(within, flushed).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(MailError::Closed),
        Err(_) => Err(MailError::TimedOut),
    }
}

impl Actor for StorageWriter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(CHECK_EVERY, |writer, _| writer.keep_committing());
        context.run_later(retention::FIRST_AFTER, |writer, context| {
            writer.expire();
            context.run_interval(retention::EVERY, |writer, _| writer.expire());
        });
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.kept.committer.abort();
    }
}

impl Supervised for StorageWriter {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self { kept: self.kept.clone() };
    }
}

impl StorageWriter {
    /// A task that panicked has lost its batch, whose callers know; the rest still waits and is written by another one.
    fn keep_committing(&mut self) {
        if self.kept.committer.is_finished() {
            log::error!("the task that writes to the database panicked and is started again");
            self.kept.waiting.settle();
            self.kept.committer = Rc::new(spawn(&self.kept.waiting, &self.kept.setup));
        }
    }
}

impl StorageWriter {
    fn expire(&self) {
        let Kept { setup, waiting, .. } = &self.kept;
        actix::spawn(retention::expire(Rc::clone(waiting), setup.limits.result_ttl));
    }
}

impl Handler<Knock> for StorageWriter {
    type Result = ();

    fn handle(&mut self, _: Knock, _: &mut Context<Self>) {}
}

impl Handler<Write> for StorageWriter {
    type Result = ();

    fn handle(&mut self, write: Write, _: &mut Context<Self>) {
        faults::point(Point::StorageWriter);
        self.kept.waiting.push(write);
    }
}

impl Handler<Flush> for StorageWriter {
    type Result = ();

    fn handle(&mut self, flush: Flush, _: &mut Context<Self>) {
        self.kept.waiting.flush(flush.done);
    }
}
