//! Counts what happened. It is told, it answers what the sums are, and it never ends the process.

mod actor;
mod ledger;
pub mod messages;

pub use actor::Metrics;
pub use ledger::Snapshot;
