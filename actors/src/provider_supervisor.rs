//! Starts one provider's connection, restarts it when it panics, and decides whether calls may go there at all: it is the circuit
//! breaker. It makes no call itself, and retries none.

mod actor;
mod breaker;
mod circuit;
mod connection;
pub mod messages;
mod moves;
mod parking;
mod rate_gate;
mod refusal;
mod retry_budget;
mod ticket;
mod verdict;

pub use actor::{ProviderConfig, ProviderSupervisor, Wiring, start};
