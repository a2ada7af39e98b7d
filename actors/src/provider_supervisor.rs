//! Starts one provider's connection, restarts it when it panics, and decides whether calls may go there at all.

mod actor;
pub mod messages;
mod standing;

pub use actor::{ProviderConfig, ProviderSupervisor, start};
