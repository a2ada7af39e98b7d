//! One WebSocket: owns the socket and pumps text messages between it and two bounded channels. It knows no MCP, and it is the
//! only place that knows `actix-web-actors`.
//!
//! A peer that does not read stalls its own session and nothing else: actix polls the actor only while its write buffer has room,
//! so the kernel is what ends such a peer (`TCP_USER_TIMEOUT`), and the sender waits at the [`messages::Outbox`] meanwhile. A peer
//! that says more than is handled is not read on, and TCP holds it back: no message is ever dropped.

mod actor;
mod frames;
mod guard;
mod heartbeat;
mod inbound;
pub mod messages;
mod payload;

pub use actor::{NotAnUpgrade, start};
