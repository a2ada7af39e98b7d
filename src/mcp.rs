//! The Model Context Protocol: the only code that knows rmcp. One handler answers for every transport; each transport has its own
//! file and brings its own framing.

mod answers;
mod call;
pub(crate) mod client;
mod connections;
#[cfg(feature = "faults")]
pub(crate) mod echo;
mod edge;
mod envelope;
mod handler;
mod progress;
mod rate;
pub(crate) mod socket;
#[cfg(test)]
mod tests;
mod transport;
