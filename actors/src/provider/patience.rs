//! How long one stream is listened to: not beyond a silence, nor while it goes on without a word of an answer, in time or in bytes, nor
//! beyond any bytes that an answer could have. It says too when a stream that never lets up must let others take their turn. Pure.

use std::time::Duration;

use super::actor::Timeouts;
use super::sse::EVENT_BYTES_MAX;
use crate::clock::Instant;

/// The most bytes of one stream, whatever they bring: 2 KiB for each of the most tokens that any model gives.
const STREAM_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes for each token of the cap that may come to nothing: some servers send an empty delta for each token that they hide.
const NOTHING_BYTES_PER_TOKEN: usize = 512;
/// What a read counts for at least: a byte that comes alone costs as much to handle as some hundred that come together.
const READ_BYTES_MIN: usize = 256;
/// Bytes that are handled before the other tasks of the thread take their turn; well below a millisecond.
const TURN_BYTES: usize = 32 * 1024;
/// How many times as long as silence a stream is borne that lives and says nothing: servers send comments while a model thinks.
const IDLES_WITHOUT_NEWS: u32 = 5;
/// How long to wait for what may follow a finish reason (usage, the terminal event) before the answer counts as it is.
const AFTER_FINISH: Duration = Duration::from_secs(5);

/// What a read was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) bytes: usize,
    /// It brought something of an answer.
    pub(super) is_news: bool,
    /// The answer has its finish reason.
    pub(super) finished: bool,
}

/// What shall follow a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Read on.
    ReadOn,
    /// Read on, once the others had their turn.
    Yield,
    /// It was too much.
    Flooded,
}

/// What is borne with one stream, and what of it is left.
#[derive(Debug)]
pub(super) struct Patience {
    idle: Duration,
    nothing_max: usize,
    ends_at: Instant,
    /// None before the first byte.
    news_by: Option<Instant>,
    finish_by: Option<Instant>,
    stream_left: usize,
    nothing_left: usize,
    turn_left: usize,
}

impl Patience {
    /// The beginning of a stream whose answer may have so many tokens, and whose first byte must have come by then.
    pub(super) fn new(timeouts: Timeouts, first_byte_by: Instant, output_tokens_max: u32) -> Self {
        let tokens = usize::try_from(output_tokens_max).unwrap_or(usize::MAX);
        let nothing_max = tokens.saturating_mul(NOTHING_BYTES_PER_TOKEN).saturating_add(EVENT_BYTES_MAX);
        Self {
            idle: timeouts.idle,
            nothing_max,
            ends_at: first_byte_by,
            news_by: None,
            finish_by: None,
            stream_left: STREAM_BYTES_MAX,
            nothing_left: nothing_max,
            turn_left: TURN_BYTES,
        }
    }

    /// When it ends, unless something comes before.
    pub(super) fn ends_at(&self) -> Instant {
        self.ends_at
    }

    /// Notes a read, however little came.
    pub(super) fn read(&mut self, read: Read, now: Instant) -> Next {
        let Read { bytes, is_news, finished } = read;
        let bytes = bytes.max(READ_BYTES_MIN);
        if is_news {
            self.nothing_left = self.nothing_max;
        }
        let news_by = match self.news_by {
            Some(by) if !is_news => by,
            Some(_) | None => now + self.idle * IDLES_WITHOUT_NEWS,
        };
        self.news_by = Some(news_by);
        self.ends_at = news_by.min(now + self.idle);
        if finished {
            // Some servers give a finish reason with every delta, so that the answer may go on.
            let by = self.finish_by.filter(|_| !is_news).unwrap_or(now + AFTER_FINISH);
            self.finish_by = Some(by);
            self.ends_at = self.ends_at.min(by);
        }
        let left = |left: usize| left.checked_sub(bytes);
        let (Some(stream), Some(nothing)) = (left(self.stream_left), left(self.nothing_left)) else {
            return Next::Flooded;
        };
        (self.stream_left, self.nothing_left) = (stream, nothing);
        match left(self.turn_left) {
            Some(turn) => {
                self.turn_left = turn;
                Next::ReadOn
            }
            None => {
                self.turn_left = TURN_BYTES;
                Next::Yield
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);
    const COMMENT: Read = Read { bytes: 8, is_news: false, finished: false };
    const DELTA: Read = Read { bytes: 300, is_news: true, finished: false };

    fn patience(now: Instant) -> Patience {
        let timeouts = Timeouts { first_byte: 300 * SECOND, idle: 120 * SECOND };
        Patience::new(timeouts, now + timeouts.first_byte, 1_000)
    }

    /// After how many of these reads it was too much.
    fn flooded_after(patience: &mut Patience, read: Read, now: Instant) -> usize {
        (1..).find(|_| patience.read(read, now) == Next::Flooded).unwrap_or(0)
    }

    #[test]
    fn comments_are_signs_of_life_but_no_news() {
        let start = clock::now();
        let mut patience = patience(start);
        assert_eq!(patience.ends_at(), start + 300 * SECOND);
        let mut now = start + 200 * SECOND;
        let first = now;
        while now < patience.ends_at() {
            patience.read(COMMENT, now);
            assert!(patience.ends_at() <= now + 120 * SECOND);
            now += 15 * SECOND;
        }
        assert_eq!(patience.ends_at(), first + 600 * SECOND);
        patience.read(DELTA, now);
        assert_eq!(patience.ends_at(), now + 120 * SECOND);
    }

    #[test]
    fn a_finished_answer_waits_for_news_alone() {
        let start = clock::now();
        let mut patience = patience(start);
        for (at, is_news, ends_at) in
            [(0, true, 5), (1, false, 5), (2, false, 5), (3, true, 8), (4, false, 8)]
        {
            patience.read(Read { is_news, finished: true, ..COMMENT }, start + at * SECOND);
            assert_eq!(patience.ends_at(), start + ends_at * SECOND, "{at}");
        }
    }

    #[test]
    fn nothing_is_borne_for_so_many_bytes_and_news_for_more() {
        let now = clock::now();
        let nothing_max = EVENT_BYTES_MAX + 512_000;
        assert_eq!(flooded_after(&mut patience(now), COMMENT, now), nothing_max / READ_BYTES_MIN + 1);
        let large = Read { bytes: 8_192, ..COMMENT };
        assert_eq!(flooded_after(&mut patience(now), large, now), nothing_max / 8_192 + 1);
        let mut patience = patience(now);
        assert_eq!(flooded_after(&mut patience, DELTA, now), STREAM_BYTES_MAX / 300 + 1);
    }

    #[test]
    fn keep_alives_of_a_long_thought_are_far_from_too_much() {
        let start = clock::now();
        let mut patience = patience(start);
        // Ten a second, for as long as a call may take.
        for n in 0..9_000 {
            let now = start + n * Duration::from_millis(100);
            assert_ne!(patience.read(COMMENT, now), Next::Flooded);
        }
    }

    #[test]
    fn the_others_get_their_turn() {
        let now = clock::now();
        let mut patience = patience(now);
        let nexts = (0..1_000).map(|_| patience.read(DELTA, now)).collect::<Vec<_>>();
        assert_eq!(nexts.iter().filter(|next| **next == Next::Yield).count(), 1_000 / (TURN_BYTES / 300 + 1));
        assert!(!nexts.contains(&Next::Flooded));
    }
}
