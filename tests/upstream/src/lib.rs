//! A wire-faithful double of Kimi, GLM and a plain OpenAI-compatible server, on loopback: the only double the project allows. It speaks
//! HTTP at byte level, does what a [`Script`] says with each request, and keeps a journal of what really reached it.
//!
//! ```
//! use exai_upstream::{Make, Script, Upstream};
//! let kimi = Upstream::start(Make::Kimi)?;
//! kimi.push_script(Script::of("tokens=20+cut-after=5"));
//! assert!(kimi.base_url().ends_with("/v1") && kimi.journal().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod answer;
mod ask;
mod cache;
mod clock;
mod conn;
mod endpoints;
mod feed;
mod files;
mod gates;
mod http;
mod journal;
mod models;
mod refusal;
mod reply;
mod routes;
mod script;
mod server;
mod sse;
mod text;
mod upstream;
mod wire;

pub use journal::{Ended, Entry, read_journal};
pub use script::{Script, ScriptError, UsagePlace};
pub use upstream::{Make, Options, Upstream, key_fingerprint};
