//! Knows what happened, in sums: merges what the threads hand in, publishes it as snapshots that nobody has to ask for, and has it
//! stored. It never ends the process.

mod actor;
mod flushing;
mod ledger;
pub mod messages;
mod recent;
mod snapshot;
mod windows;

pub use actor::{Handles, Metrics, Wiring, start};
pub use flushing::Flushing;
pub use recent::Percentiles;
pub use snapshot::{Breakdown, Buckets, Snapshot, Sums, Tokens};
