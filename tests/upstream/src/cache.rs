//! The implicit prefix cache (D20): which message prefixes a key has sent before, and how many tokens of them count as cached.

use std::collections::{HashSet, VecDeque};

use crate::ask::Ask;
use crate::text::key_of;

/// Hits come in whole blocks of this many tokens, on both makes.
const BLOCK_TOKENS: u64 = 256;
/// Prefixes remembered; the oldest go first.
const PREFIXES_MAX: usize = 200_000;

#[derive(Default)]
pub(crate) struct Prefixes {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Prefixes {
    /// The tokens of the longest prefix this key sent before, and remembers all prefixes of this request.
    pub(crate) fn visit(&mut self, key: &str, ask: &Ask) -> u64 {
        let mut hash = key_of(0, key.as_bytes()) ^ key_of(0, ask.base.as_bytes());
        let (mut tokens, mut hit) = (0, 0);
        for turn in &ask.turns {
            hash = key_of(hash, format!("{}\n{}", turn.role, turn.text).as_bytes());
            tokens += turn.tokens();
            if self.known.contains(&hash) {
                hit = tokens;
            } else {
                self.remember(hash);
            }
        }
        hit / BLOCK_TOKENS * BLOCK_TOKENS
    }

    fn remember(&mut self, hash: u64) {
        if self.order.len() >= PREFIXES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(hash);
        self.order.push_back(hash);
    }
}
