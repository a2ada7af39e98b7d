//! The picture that browsers have: named parts, each in words, and the newest events. Pure: the whole picture goes in, what changed comes
//! out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::events::Entry;

/// Events that a browser gets with the whole picture.
pub(super) const EVENTS_MAX: usize = 300;

/// The parts by their names, such as `load`, `provider/kimi` and `call/ID`.
pub(super) type Parts = BTreeMap<String, Arc<RawValue>>;

/// The picture.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    pub(super) seq: u64,
    parts: Arc<Parts>,
    events: VecDeque<Arc<RawValue>>,
}

/// What goes to browsers.
#[derive(Serialize)]
struct Words<'a> {
    seq: u64,
    /// Whether it is all there is.
    whole: bool,
    set: BTreeMap<&'a str, &'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<&'a str>,
    events: Vec<&'a RawValue>,
}

impl Board {
    /// Takes the picture as it is, with the events since the last one, and says what changed; nothing where nothing did.
    pub(super) fn turn(&mut self, parts: Parts, events: &[Entry]) -> Option<String> {
        let before = std::mem::replace(&mut self.parts, Arc::new(parts));
        let is_same =
            |name: &str, part: &RawValue| before.get(name).is_some_and(|old| old.get() == part.get());
        let set = self.parts.iter().filter(|(name, part)| !is_same(name, part));
        let set = set.map(|(name, part)| (name.as_str(), &**part)).collect::<BTreeMap<_, _>>();
        let gone = before.keys().filter(|name| !self.parts.contains_key(*name)).map(String::as_str);
        let gone = gone.collect::<Vec<_>>();
        let events = events.iter().filter_map(raw).collect::<Vec<_>>();
        if set.is_empty() && gone.is_empty() && events.is_empty() {
            return None;
        }
        self.seq += 1;
        let shown = events.iter().rev().take(EVENTS_MAX).rev().map(|event| &**event).collect();
        let words = in_words(&Words { seq: self.seq, whole: false, set, gone, events: shown });
        self.events.extend(events);
        let beyond = self.events.len().saturating_sub(EVENTS_MAX);
        self.events.drain(..beyond);
        Some(words)
    }

    /// All of it.
    pub(super) fn whole(&self) -> String {
        let set = self.parts.iter().map(|(name, part)| (name.as_str(), &**part)).collect();
        let events = self.events.iter().map(|event| &**event).collect();
        in_words(&Words { seq: self.seq, whole: true, set, gone: Vec::new(), events })
    }
}

/// A part in words; none where it cannot be put so, which is a defect.
pub(super) fn raw(part: &impl Serialize) -> Option<Arc<RawValue>> {
    serde_json::value::to_raw_value(part).ok().map(Arc::from)
}

fn in_words(words: &Words<'_>) -> String {
    serde_json::to_string(words).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        /// A browser that applies every change has what a browser has that comes later.
        #[test]
        fn changes_add_up_to_the_whole(
            turns in prop::collection::vec(prop::collection::btree_map("[a-c]/[a-d]", 0u8..4, 0..8), 1..12),
        ) {
            let (mut board, mut browser, mut seq) = (Board::default(), BTreeMap::<String, Value>::new(), 0);
            for turn in turns {
                let parts = turn.iter().map(|(name, n)| (name.clone(), raw(n).unwrap())).collect();
                let Some(words) = board.turn(parts, &[]) else { continue };
                let words = serde_json::from_str::<Value>(&words).unwrap();
                seq += 1;
                prop_assert_eq!(&words["seq"], &Value::from(seq));
                for (name, part) in words["set"].as_object().unwrap() {
                    browser.insert(name.clone(), part.clone());
                }
                for name in words["gone"].as_array().into_iter().flatten() {
                    browser.remove(name.as_str().unwrap());
                }
                let whole = serde_json::from_str::<Value>(&board.whole()).unwrap();
                prop_assert_eq!(&whole["set"], &serde_json::to_value(&browser).unwrap());
            }
        }
    }
}
