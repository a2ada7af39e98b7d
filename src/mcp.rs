//! The Model Context Protocol: the only code that knows rmcp. One handler answers for every transport; each transport has its own
//! file and brings its own framing.

mod answers;
mod call;
pub(crate) mod client;
pub(crate) mod connections;
mod delivery;
#[cfg(feature = "faults")]
pub(crate) mod echo;
pub(crate) mod edge;
mod envelope;
pub(crate) mod handler;
mod handover;
mod monitor;
pub(crate) mod patience;
mod progress;
mod rate;
mod resources;
pub(crate) mod sessions;
pub(crate) mod socket;
mod terms;
#[cfg(test)]
mod tests;
mod transport;
