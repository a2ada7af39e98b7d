//! The connection monitor's place in the wiring: what matters goes to the writer, and the process itself comes and goes.

use actix::Addr;
use exai_actors::events::{self, Direction, Facts, Kind, Lot, Weight};
use exai_actors::storage_writer::StorageWriter;

/// Has what matters written, for ever, and tells that the process started.
pub(super) fn start(writer: &Addr<StorageWriter>) {
    actix_rt::spawn(events::keep(writer.clone()));
    events::note(of_server(Direction::Open, "started"), Facts::default);
}

/// Tells that the process is going to end. From here on what is told is handed over at once.
pub(super) fn drain() {
    events::note(of_server(Direction::Close, "draining"), Facts::default);
    events::hurry();
}

fn of_server(direction: Direction, outcome: &'static str) -> Lot {
    Lot { kind: Kind::Server, direction, outcome: outcome.into(), weight: Weight::Lasting }
}
