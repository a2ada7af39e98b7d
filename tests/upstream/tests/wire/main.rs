//! The double over real sockets, as its users see it.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its answer has failed")]

mod faults;
mod gates;
mod journal;
mod refusals;
mod script;
mod shapes;
mod support;
