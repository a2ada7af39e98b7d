//! Takes consultations in, decides which may go now, and owns their tasks until each has its one answer. It speaks no MCP, opens
//! no socket and writes nothing itself.
//!
//! `consultation.rs` is the story of a call, top to bottom. `admission.rs` is the pure core: every limit, decided at once;
//! `permits.rs` makes its decisions values that give themselves back.

mod actor;
pub mod admission;
mod alternatives;
mod attempt;
mod consultation;
mod desk;
mod ending;
mod entries;
mod journal;
mod late;
mod lately;
pub mod messages;
pub mod permits;
mod plan;
mod refusals;
mod replay;
mod request_hash;
mod retry;
mod roster;
mod steps;
mod stop;

pub use actor::Dispatcher;
pub use desk::{ProviderLink, Setup};
pub use lately::{CallSeen, Calls, EndCall, GetCalls};
pub(crate) use plan::not_read;
pub(crate) use replay::stored_answer;
