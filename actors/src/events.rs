//! The connection monitor: what happened on the connections of this process lately, and what each client did. It never holds
//! content or a key, and like the log it is one for the process: whoever has something to tell needs no handle for it.
//!
//! Telling costs no lock, no message and, under load, no clock: a thread samples what it is told into a buffer of its own and hands
//! that over once a second. The books that take it stand in a `watch`, whose short lock is taken once per thread and second; readers
//! copy one page out of it and wait for no mailbox.

mod clients;
mod event;
mod keep;
mod recorder;
mod ring;
mod sampler;

pub use clients::{Client, ClientTotals};
pub use event::{Direction, Event, Facts, Kind, Lot, Weight};
pub use keep::{keep, write_last};
pub use recorder::{clients, connected, hurry, lost, note, read};
pub use ring::{Entry, PAGE_MAX, Page, Query, RING_MAX, Since};
