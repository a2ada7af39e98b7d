//! The live dashboard: one `Feed` for each browser, and one [`watch`] that looks at everything on behalf of all of them, so that what
//! changed is put into words once however many browsers there are. A browser that reads too slowly is given the whole picture anew, and one
//! that does not read is dropped; nothing ever waits in memory for it.
//!
//! A browser gets `{"seq", "set", "events"}` with everything, and then the same with what changed: `gone` names what is no longer there. Each
//! has a sequence number one above that of the one before; a gap, or any message of the browser's, brings the whole picture again.

mod actor;
mod board;
pub mod messages;
mod recent;
mod source;

pub use actor::Feed;
pub use recent::Sample;
pub use source::{Seen, Sources, Watched, watch};
