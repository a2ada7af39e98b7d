//! Ends of calls that the database did not take when they came: whoever asked has heard them, and they are written once it is back.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::sync::Semaphore;

use crate::clock;
use crate::storage_writer::messages::{Record, WriteError, Written};
use crate::storage_writer::{StorageWriter, write};
use crate::trail::Trail;

/// How many may wait. Beyond them a call is left to its lease, which closes it as one of which nobody knows what became.
const WAITING_MAX: usize = 1024;
/// How long each waits, and how often the database is tried meanwhile.
const WAITS: Duration = Duration::from_secs(600);
const TRY_EVERY: Duration = Duration::from_secs(1);

/// What waits.
#[derive(Clone)]
pub(super) struct Late {
    places: Arc<Semaphore>,
}

impl Default for Late {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

impl Late {
    /// Writes an end as soon as the database takes it, without anybody waiting for that.
    pub(super) fn write(&self, writer: &Addr<StorageWriter>, end: Record) {
        let (call, kind) = (end.trail().call.map(|call| call.to_string()).unwrap_or_default(), end.kind());
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            log::error!(call = call.as_str(), record = kind; "too many ends wait; this call is left to its lease");
            return;
        };
        let writer = writer.clone();
        let writing = async move {
            if let Err(error) = persist(&writer, end, WAITS, TRY_EVERY).await {
                log::error!(call = call.as_str(), record = kind; "the end of a call was given up: {error}");
            }
            drop(place);
        };
        tokio::task::spawn_local(Trail::current().follow(writing));
    }
}

/// Writes an outcome; a database that is away is waited for, at most `within`. Writing it twice is the same as once.
pub(super) async fn persist(
    writer: &Addr<StorageWriter>,
    record: Record,
    within: Duration,
    every: Duration,
) -> Result<Written, WriteError> {
    let give_up_at = clock::now() + within;
    loop {
        match write(writer, record.clone()).await {
            Err(WriteError::Unavailable | WriteError::Uncertain | WriteError::Full)
                if clock::now() < give_up_at =>
            {
                tokio::time::sleep(every).await;
            }
            outcome => return outcome,
        }
    }
}
