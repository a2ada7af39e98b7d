//! Hands the events that matter to the writer, one batch a tick, and never so many that the table outgrows its bound before the
//! hourly retention comes by. Nobody waits for them: what cannot be written is dropped and counted.

use actix::Addr;
use uuid::Uuid;

use super::event::Event;
use super::recorder::{TICK, lose, take_waiting};
use crate::storage::rows::NewEvent;
use crate::storage_writer::messages::Record;
use crate::storage_writer::{StorageWriter, write};

/// Events that may be written each second, in the long run: 90 000 an hour, less than the table keeps.
const PER_TICK: usize = 25;
/// Events that may be written at once after a quiet time.
const BURST: usize = 1000;

/// How many events may be written. Pure.
#[derive(Debug)]
struct Allowance(usize);

impl Allowance {
    /// One more tick has passed: how many may go.
    fn tick(&mut self) -> usize {
        self.0 = (self.0 + PER_TICK).min(BURST);
        self.0
    }

    fn spend(&mut self, events: usize) {
        self.0 = self.0.saturating_sub(events);
    }
}

/// Writes what matters, for ever.
pub async fn keep(writer: Addr<StorageWriter>) {
    let mut allowance = Allowance(BURST);
    loop {
        tokio::time::sleep(TICK).await;
        let events = take_waiting(allowance.tick());
        allowance.spend(events.len());
        write_all(&writer, events).await;
    }
}

/// Writes what matters and waits for the database; at the end, when no tick will come.
pub async fn write_last(writer: &Addr<StorageWriter>) {
    write_all(writer, take_waiting(BURST)).await;
}

async fn write_all(writer: &Addr<StorageWriter>, events: Vec<Event>) {
    if events.is_empty() {
        return;
    }
    let stand_for = events.iter().map(|event| event.sampled).sum();
    let rows = events.into_iter().map(row).collect();
    if write(writer, Record::Events(rows)).await.is_err() {
        lose(stand_for);
    }
}

fn row(event: Event) -> NewEvent {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    NewEvent {
        id: Uuid::now_v7(),
        at: event.at,
        kind: event.kind.to_string(),
        direction: event.direction.as_str(),
        peer: event.peer.to_string(),
        bytes: number(event.bytes),
        ms: number(event.ms),
        outcome: event.outcome.into_owned(),
        call: event.call,
        sampled: number(event.sampled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_an_hour_stays_within_the_table() {
        let mut allowance = Allowance(BURST);
        let mut written = 0;
        for _ in 0..3600 {
            let all = allowance.tick();
            allowance.spend(all);
            written += all;
        }
        assert_eq!(written, BURST + 3599 * PER_TICK);
        assert!(written < 100_000);
    }
}
