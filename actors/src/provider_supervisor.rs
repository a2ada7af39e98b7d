//! Starts one provider's connection, restarts it when it panics, and decides whether calls may go there at all: it is the circuit
//! breaker. It makes no call itself, and retries none.

mod actor;
mod breaker;
mod circuit;
mod config;
mod connection;
pub mod messages;
mod moves;
mod parking;
mod rate_gate;
mod refusal;
mod retry_budget;
mod ticket;
mod verdict;

pub use actor::{ProviderSupervisor, Wiring, start};
pub use config::ProviderConfig;
