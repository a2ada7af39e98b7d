//! What a browser's feed hears.

use actix::Message;
use bytestring::ByteString;

/// Something that a feed hears, in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Heard {
    /// What changed, in words that are ready to be sent.
    Changed {
        /// The place of this change.
        seq: u64,
        /// The words.
        text: ByteString,
    },
    /// The browser asks for the whole picture, or changes came faster than it reads.
    Behind,
}
