//! Recording: each thread counts for itself in plain arrays, and hands the difference on at its own pace. A record takes no lock, no
//! shared atomic, no clock, no allocation and sends nothing; it stands beside the actors, so that every one of them may count.

mod families;
mod local;
mod registry;
mod tick;

pub use families::{Counter, Distribution};
pub use local::{Delta, Slot, Values, add, hand_in, observe, record, slot, waited};
pub use registry::Labels;
pub use tick::{DELTAS_MAX, TICK, attach};
