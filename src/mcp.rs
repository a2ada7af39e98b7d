//! The Model Context Protocol: the only code that knows rmcp. One handler answers for every transport; each transport has its own
//! file and brings its own framing.

mod answers;
mod call;
pub(crate) mod client;
mod completions;
#[cfg(feature = "conformance")]
mod conformance;
pub(crate) mod connections;
mod delivery;
#[cfg(feature = "faults")]
pub(crate) mod echo;
pub(crate) mod edge;
mod engine;
mod envelope;
pub(crate) mod handler;
mod handover;
pub(crate) mod http;
mod line;
mod monitor;
pub(crate) mod patience;
mod progress;
mod prompts;
pub(crate) mod rate;
mod refusals;
mod resources;
pub(crate) mod sessions;
pub(crate) mod socket;
mod terms;
#[cfg(test)]
mod tests;

#[cfg(feature = "conformance")]
use self::conformance::Served;
/// What answers a connection.
#[cfg(not(feature = "conformance"))]
type Served = handler::Handler;
