//! How a batch is written: all in one transaction; where that fails for a row's sake, each record in one of its own, so that only
//! the poisonous one is lost. Written once and compiled for each database.

use std::cell::Cell;
use std::slice;

use super::{Conn, read, write};
use crate::clock;
use crate::storage::connect::OPERATION_WITHIN;
use crate::storage::error::{Blame, Refusal};
use crate::storage::job::{Done, Down, Job, Rules, waves};
use crate::storage_writer::messages::{Record, WriteError, Written};

/// Does a job, and says in `down` whether the connection may be used again.
pub(crate) async fn run(conn: &mut Conn<'_>, begin: &str, job: &Job) -> Done {
    match job {
        Job::Write(records, rules) => batch(conn, begin, records, *rules).await,
        Job::Ping { thoroughly } => {
            let pinged = if *thoroughly { probe(conn, begin).await } else { ping(conn).await };
            Done {
                outcomes: Vec::new(),
                commits: 0,
                down: pinged.err().map(|refusal| Down::of_probe(&refusal)),
            }
        }
    }
}

async fn batch(conn: &mut Conn<'_>, begin: &str, records: &[Record], rules: Rules) -> Done {
    match together(conn, begin, records, rules).await {
        Ok(written) => {
            return Done { outcomes: written.into_iter().map(Ok).collect(), commits: 1, down: None };
        }
        Err(refusal) if refusal.blame() == Blame::Database => {
            let outcomes = vec![Err(unavailable(&refusal)); records.len()];
            return Done { outcomes, commits: 0, down: Some(Down::from(&refusal)) };
        }
        Err(_) => {}
    }
    let mut done = Done { outcomes: Vec::with_capacity(records.len()), commits: 0, down: None };
    for record in records {
        let outcome = if done.down.is_some() {
            Err(WriteError::Unavailable)
        } else {
            alone(conn, begin, record, rules, &mut done).await
        };
        done.outcomes.push(outcome);
    }
    done
}

async fn alone(
    conn: &mut Conn<'_>,
    begin: &str,
    record: &Record,
    rules: Rules,
    done: &mut Done,
) -> Result<Written, WriteError> {
    let refusal = match together(conn, begin, slice::from_ref(record), rules).await {
        Ok(written) => {
            done.commits += 1;
            return written.first().copied().ok_or(WriteError::Refused);
        }
        Err(refusal) => refusal,
    };
    // Where the error does not say whose fault it is, a write that is surely in order does.
    let down = match refusal.blame() {
        Blame::Row => None,
        Blame::Database => Some(Down::from(&refusal)),
        Blame::Unclear => probe(conn, begin).await.err().map(|refusal| Down::of_probe(&refusal)),
    };
    if down.is_none() {
        record.trail().within(|| {
            log::error!(record = record.kind(); "the database refused a row: {}", refusal.for_people());
        });
        return Err(WriteError::Refused);
    }
    done.down = down;
    Err(unavailable(&refusal))
}

fn unavailable(refusal: &Refusal) -> WriteError {
    if matches!(refusal, Refusal::Unconfirmed(_)) { WriteError::Uncertain } else { WriteError::Unavailable }
}

async fn together(
    conn: &mut Conn<'_>,
    begin: &str,
    records: &[Record],
    rules: Rules,
) -> Result<Vec<Written>, Refusal> {
    transaction(conn, begin, async |conn: &mut Conn<'_>| {
        let mut written = Vec::with_capacity(records.len());
        for wave in waves(records) {
            written.append(&mut super::wave(conn, wave, rules).await?);
        }
        Ok(written)
    })
    .await
}

async fn ping(conn: &mut Conn<'_>) -> Result<(), Refusal> {
    let pinged = tokio::time::timeout(OPERATION_WITHIN, read::probe(conn)).await;
    pinged.map_err(|_| Refusal::TimedOut)?.map_err(Refusal::from)
}

/// A write that is surely in order: whether it commits says whether the database takes writes.
async fn probe(conn: &mut Conn<'_>, begin: &str) -> Result<(), Refusal> {
    transaction(conn, begin, async |conn: &mut Conn<'_>| Ok(write::probe(conn, clock::utc_now().0).await?))
        .await
}

async fn transaction<T>(
    conn: &mut Conn<'_>,
    begin: &str,
    body: impl AsyncFnOnce(&mut Conn<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    // From here on nobody knows whether it stands, until it is confirmed or rolled back.
    let committing = Cell::new(false);
    let work = async {
        write::begin(conn, begin).await?;
        let outcome = match body(conn).await {
            Ok(value) => {
                committing.set(true);
                write::commit(conn).await.map(|()| value).map_err(Refusal::from)
            }
            Err(refusal) => Err(refusal),
        };
        let Err(refusal) = outcome else { return outcome };
        Err(match write::rollback(conn).await {
            Ok(()) => {
                committing.set(false);
                refusal
            }
            // Where not even this works, the connection is of no use and whoever owns it must hear that.
            Err(_) if refusal.blame() != Blame::Database => Refusal::LostConnection,
            Err(_) => refusal,
        })
    };
    let outcome = tokio::time::timeout(OPERATION_WITHIN, work).await.unwrap_or(Err(Refusal::TimedOut));
    outcome
        .map_err(|refusal| if committing.get() { Refusal::Unconfirmed(Box::new(refusal)) } else { refusal })
}
