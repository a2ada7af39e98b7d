//! The system of EXAI: everything that decides and remembers. It knows no route, no environment variable and no process exit;
//! `src/` wires it to the outside.
//!
//! Each actor is a folder of one shape: `<actor>.rs` says what it is for, `messages.rs` what it is asked, `actor.rs` what it does,
//! and one more file holds its pure core, which decides and does nothing. Read one, know all.
//!
//! Asks go down this list, never up. Facts come up through a `watch` or a channel that was handed down before.
//! `tests/tidy.rs` reads the list and holds the code to it.
//!
//! ```text
//! 0  feed                  one browser's live picture, and who looks on behalf of all browsers
//! 0  session               one WebSocket: frames between the socket and two bounded channels
//! 1  dispatcher            admission, and the tasks of the running consultations
//! 2  provider_supervisor   starts and restarts its provider; decides whether calls may go there
//! 3  provider              one client bound to one host and one key; owns the upstream calls
//! 4  metrics               what happened, in sums
//! 5  storage_writer        every write to the database, in batches
//! ```
//!
//! How a call travels:
//!
//! ```text
//! session -> mcp handler (src/mcp) -> tools::Toolbox -> dispatcher -> consultation.rs, top to bottom:
//!     plan (which model, which turns) -> permits -> journal -> provider's stream -> commit -> answer
//! ```
//!
//! Beside the actors stand plain modules: [`tools`] (what clients call), [`models`] (the catalogue), [`storage`] (schema and reads),
//! [`supervised`] (how a panicked actor lives again), [`mail`] (how messages are sent), [`health`] (the actors' one lock), [`meter`]
//! (what each thread counts for itself), [`events`] (what happened on connections lately), [`trail`] (which call a log line belongs to),
//! [`clock`], [`error`], [`ids`], [`receipt`].

pub mod clock;
pub mod dispatcher;
pub mod error;
pub mod events;
pub mod faults;
pub mod feed;
pub mod health;
pub mod ids;
pub mod mail;
pub mod meter;
pub mod metrics;
pub mod models;
pub mod provider;
pub mod provider_supervisor;
pub mod receipt;
pub mod session;
pub mod storage;
pub mod storage_writer;
pub mod supervised;
pub mod tools;
pub mod trail;
