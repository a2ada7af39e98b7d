//! Providers on real sockets, with the wire double of the upstreams behind them.

#[path = "provider/answers.rs"]
mod answers;
#[path = "provider/support.rs"]
mod support;
