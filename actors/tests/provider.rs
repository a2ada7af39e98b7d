//! Providers on real sockets, with the wire double of the upstreams behind them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "provider/answers.rs"]
mod answers;
#[path = "provider/broken.rs"]
mod broken;
#[path = "provider/cancel.rs"]
mod cancel;
#[path = "provider/floods.rs"]
mod floods;
#[path = "provider/pooled.rs"]
mod pooled;
#[path = "provider/refusals.rs"]
mod refusals;
#[path = "provider/routing.rs"]
mod routing;
#[path = "provider/supervisor.rs"]
mod supervisor;
#[path = "provider/support.rs"]
mod support;
