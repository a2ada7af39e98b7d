//! What the double says: deterministic in (seed, request body), readable in a demo, and lazy, so that a long answer costs no memory.

use sha2::{Digest, Sha256};

use crate::Make;
use crate::ask::{Ask, clip};

/// Words after the introduction when the script names no number: whole sentences, about 40 words in all.
const FILLER_DEFAULT: usize = 20;
/// Words in every filler sentence; equal lengths make word `i` a matter of arithmetic.
const SENTENCE_WORDS: u64 = 10;
/// Characters of one echo delta.
const ECHO_PIECE_CHARS: usize = 64;

/// Each has exactly ten words, and some leave ASCII, so that a torn UTF-8 sequence is really torn.
const FILLER: &[&str] = &[
    "A cursor that survives concurrent writes needs a stable order.",
    "Cache what is pure, and let everything else stay honest.",
    "The naïve version is often fast enough, so measure it.",
    "Name the invariant first; the loop then almost writes itself.",
    "Every queue needs a limit — memory becomes it otherwise.",
    "A retry without a budget is a very slow outage.",
    "Prefer a small café of modules over one large canteen.",
    "月 means moon, and this sentence has exactly ten words.",
    "Write the failing test down before you touch the code.",
    "When two clocks disagree, believe neither and count events instead.",
    "An error should say which operation failed, and keep why.",
    "Delete the branch that nobody takes; the rest reads better.",
];

const THOUGHTS: &[&str] = &[
    "First, ",
    "the ",
    "question ",
    "itself: ",
    "what ",
    "is ",
    "being ",
    "asked, ",
    "and ",
    "why? ",
    "Then ",
    "an ",
    "answer. ",
];

/// The text of one answer, piece by piece.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    head: Vec<String>,
    total: usize,
    key: u64,
}

/// A well-mixed number; the same for the same input everywhere.
pub(crate) fn mix(key: u64, i: u64) -> u64 {
    let mut z = key.wrapping_add(i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The number that stands for (seed, body).
pub(crate) fn key_of(seed: u64, body: &[u8]) -> u64 {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(body).finalize();
    digest.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

impl Text {
    /// A friendly answer of `tokens` words, with a citation where a search ran.
    pub(crate) fn spoken(make: Make, ask: &Ask, key: u64, tokens: Option<u32>, cite: bool) -> Text {
        let name = match make {
            Make::Kimi => "Kimi",
            Make::Glm => "GLM",
            Make::OpenAi => "an OpenAI-compatible server",
        };
        let quote = clip(ask.last_user(), 80);
        let quote = quote.split_whitespace().collect::<Vec<_>>().join(" ");
        let seen = ask.turns.len();
        let plural = if seen == 1 { "" } else { "s" };
        let cited = if cite { " The web agrees [ref_1]." } else { "" };
        let intro = format!(
            "This is the double of {name} speaking. You asked: “{quote}” I have seen {seen} message{plural}.{cited}"
        );
        let mut head: Vec<String> = intro.split_inclusive(' ').map(str::to_owned).collect();
        let total =
            tokens.and_then(|tokens| usize::try_from(tokens).ok()).unwrap_or(head.len() + FILLER_DEFAULT);
        head.truncate(total);
        if let Some(last) = head.last_mut().filter(|last| !last.ends_with(' ')) {
            last.push(' ');
        }
        Text { head, total, key }
    }

    /// Exactly this text, in pieces.
    pub(crate) fn literal(text: &str) -> Text {
        let chars: Vec<char> = text.chars().collect();
        let head: Vec<String> = chars.chunks(ECHO_PIECE_CHARS).map(|piece| piece.iter().collect()).collect();
        Text { total: head.len(), head, key: 0 }
    }

    /// Pieces, which are the completion tokens billed for it.
    pub(crate) fn len(&self) -> usize {
        self.total
    }

    pub(crate) fn truncate(&mut self, total: usize) {
        self.total = self.total.min(total);
        self.head.truncate(total);
    }

    /// Piece `i`; the last one ends without a space. Beyond the end it goes on with filler, which is what `endless` asks for.
    pub(crate) fn piece(&self, i: usize) -> String {
        let mut piece = match self.head.get(i) {
            Some(piece) => piece.clone(),
            None => filler(self.key, u64::try_from(i - self.head.len()).unwrap_or(0)),
        };
        if i + 1 == self.total {
            piece.truncate(piece.trim_end().len());
        }
        piece
    }

    pub(crate) fn whole(&self) -> String {
        (0..self.total).map(|i| self.piece(i)).collect()
    }
}

fn pick<'a>(list: &'a [&'a str], i: u64) -> &'a str {
    let length = u64::try_from(list.len()).unwrap_or(1);
    usize::try_from(i % length).ok().and_then(|i| list.get(i)).copied().unwrap_or_default()
}

fn filler(key: u64, i: u64) -> String {
    let sentence = pick(FILLER, mix(key, 0).wrapping_add(i / SENTENCE_WORDS));
    let word = usize::try_from(i % SENTENCE_WORDS).ok().and_then(|i| sentence.split(' ').nth(i));
    format!("{} ", word.unwrap_or_default())
}

/// Reasoning delta `i`.
pub(crate) fn thought(i: u32) -> &'static str {
    pick(THOUGHTS, u64::from(i))
}

/// The whole reasoning of `count` deltas.
pub(crate) fn thoughts(count: u32) -> String {
    (0..count).map(thought).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filler_sentence_has_ten_words() {
        for sentence in FILLER {
            assert_eq!(sentence.split(' ').count(), 10, "{sentence}");
        }
    }

    #[test]
    fn an_answer_has_as_many_words_as_the_script_says() {
        let ask = Ask::read(
            br#"{"model":"kimi-k2.6","messages":[{"role":"user","content":"Why is the sky  blue?"}]}"#,
        )
        .unwrap();
        for tokens in [0, 1, 5, 40, 400] {
            let text = Text::spoken(Make::Kimi, &ask, 7, Some(tokens), false);
            let whole = text.whole();
            assert_eq!(whole.split_whitespace().count(), usize::try_from(tokens).unwrap(), "{whole}");
            assert_eq!(whole.trim(), whole);
        }
    }
}
