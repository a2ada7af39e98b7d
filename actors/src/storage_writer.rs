//! Every write to the database, in batches: what arrives while one commit runs goes into the next. It reads nothing and decides
//! nothing about calls.

mod actor;
pub mod batch;
mod committer;
mod link;
pub mod messages;
mod reach;
mod retention;
mod spooling;

pub use actor::{StorageWriter, Wiring, flush, start, write};
pub use committer::COMPONENT;
