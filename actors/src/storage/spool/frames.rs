//! The bytes of a spool. Each frame's checksum covers everything before it, so that neither a torn tail nor the leftovers of an
//! earlier filling can be read as a frame. Pure: it touches no file.

use sha2::{Digest, Sha256};

/// What a file begins with; the last character counts the formats.
const MAGIC: [u8; 8] = *b"exaispl1";
/// Bytes of a checksum: a chance match must not happen, a forged one need not be feared.
const SUM_BYTES: usize = 16;
/// Bytes before the first frame: the magic, a seed, and the checksum of both.
pub(super) const HEADER_BYTES: usize = MAGIC.len() + SEED_BYTES + SUM_BYTES;
/// Bytes of the seed, which no two fillings share.
pub(super) const SEED_BYTES: usize = 16;
/// Bytes before a frame's text: its length, and its checksum.
pub(super) const FRAME_HEAD_BYTES: usize = 4 + SUM_BYTES;

/// The checksum of everything up to one place of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain([u8; SUM_BYTES]);

/// What a frame says of itself before its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHead {
    /// Bytes of its text.
    pub(super) length: u32,
    sum: Chain,
}

/// The header of a new filling.
pub(super) fn header(seed: [u8; SEED_BYTES]) -> ([u8; HEADER_BYTES], Chain) {
    let chain = Chain(sum(&[&MAGIC, &seed]));
    let mut bytes = [0; HEADER_BYTES];
    let (magic, rest) = bytes.split_at_mut(MAGIC.len());
    let (seeded, summed) = rest.split_at_mut(SEED_BYTES);
    magic.copy_from_slice(&MAGIC);
    seeded.copy_from_slice(&seed);
    summed.copy_from_slice(&chain.0);
    (bytes, chain)
}

/// The chain that a header begins; none when it is no header.
pub(super) fn read_header(bytes: &[u8; HEADER_BYTES]) -> Option<Chain> {
    let (magic, rest) = bytes.split_at(MAGIC.len());
    let (seed, summed) = rest.split_at(SEED_BYTES);
    let chain = Chain(sum(&[magic, seed]));
    (magic == MAGIC && summed == chain.0).then_some(chain)
}

impl Chain {
    /// Appends a frame to `out`; the chain behind it. None when a frame cannot be that long.
    pub(super) fn frame(self, text: &[u8], out: &mut Vec<u8>) -> Option<Self> {
        let length = u32::try_from(text.len()).ok()?.to_le_bytes();
        let next = Self(sum(&[&self.0, &length, text]));
        out.extend_from_slice(&length);
        out.extend_from_slice(&next.0);
        out.extend_from_slice(text);
        Some(next)
    }

    /// The chain behind a frame that was read after this; none when the frame is not whole, or not the one that follows.
    pub(super) fn behind(self, head: FrameHead, text: &[u8]) -> Option<Self> {
        let next = Self(sum(&[&self.0, &head.length.to_le_bytes(), text]));
        (next == head.sum).then_some(next)
    }
}

impl FrameHead {
    pub(super) fn read(bytes: [u8; FRAME_HEAD_BYTES]) -> Self {
        let mut length = [0; 4];
        let mut sum = [0; SUM_BYTES];
        length.copy_from_slice(&bytes[..4]);
        sum.copy_from_slice(&bytes[4..]);
        Self { length: u32::from_le_bytes(length), sum: Chain(sum) }
    }
}

fn sum(parts: &[&[u8]]) -> [u8; SUM_BYTES] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&hasher.finalize()[..SUM_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The texts that a reader finds.
    fn read(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut texts = Vec::new();
        let Some(Some(mut chain)) = bytes.first_chunk().map(read_header) else { return texts };
        let mut rest = &bytes[HEADER_BYTES..];
        while let Some(head) = rest.first_chunk() {
            let head = FrameHead::read(*head);
            let end = FRAME_HEAD_BYTES + head.length as usize;
            let Some(text) = rest.get(FRAME_HEAD_BYTES..end) else { break };
            let Some(behind) = chain.behind(head, text) else { break };
            chain = behind;
            texts.push(text.to_vec());
            rest = &rest[end..];
        }
        texts
    }

    fn filling(seed: u8, texts: &[Vec<u8>]) -> Vec<u8> {
        let (header, mut chain) = header([seed; SEED_BYTES]);
        let mut bytes = header.to_vec();
        for text in texts {
            chain = chain.frame(text, &mut bytes).unwrap();
        }
        bytes
    }

    fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)
    }

    proptest! {
        #[test]
        fn a_torn_tail_is_cut(texts in texts(), cut in any::<prop::sample::Index>()) {
            let bytes = filling(1, &texts);
            prop_assert_eq!(&read(&bytes), &texts);
            let found = read(&bytes[..cut.index(bytes.len())]);
            prop_assert_eq!(&found[..], &texts[..found.len()]);
        }

        #[test]
        fn a_changed_byte_ends_what_is_read(texts in texts(), at in any::<prop::sample::Index>()) {
            let mut bytes = filling(1, &texts);
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
            let found = read(&bytes);
            prop_assert!(found.len() < texts.len().max(1));
            prop_assert_eq!(&found[..], &texts[..found.len()]);
        }

        #[test]
        fn leftovers_of_an_earlier_filling_are_not_read(old in texts(), new in texts()) {
            let mut bytes = filling(1, &old);
            let over = filling(2, &new);
            if bytes.len() < over.len() {
                bytes.resize(over.len(), 0);
            }
            bytes[..over.len()].copy_from_slice(&over);
            prop_assert_eq!(read(&bytes), new);
        }
    }
}
