//! One WebSocket: owns the socket and pumps text messages between it and two bounded channels. It knows no MCP, and it is the
//! only place that knows `actix-web-actors`.
//!
//! A peer that does not read stalls its own session and nothing else: actix polls the actor only while its write buffer has room,
//! so the kernel is what ends a peer that takes nothing at all (`TCP_USER_TIMEOUT`). One that takes too little is given up by the
//! sender whose message found no place at the [`messages::Outbox`] in time, and dropped when it takes the next bytes. A peer that
//! says more than is handled is not read on, and TCP holds it back: no message from a peer is ever dropped.

mod actor;
mod delivery;
mod frames;
mod guard;
mod heartbeat;
mod inbound;
pub mod messages;
mod payload;

pub use actor::{NotAnUpgrade, start};
