//! The last events, each with a sequence number. Pure: events go in, pages come out.

use std::collections::VecDeque;

use serde::Serialize;

use super::event::Event;
use crate::clock::UtcMillis;

/// Events that are held.
pub const RING_MAX: usize = 10_000;
/// Events of one page.
pub const PAGE_MAX: usize = 1000;

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With this number, the `next` of an earlier page. One that is not given out yet is of an earlier life of the process: the page
    /// begins with the oldest event.
    Sequence(u64),
    /// With the first event of this moment or a later one.
    Time(UtcMillis),
}

/// Which events are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// Of this kind; of every kind without.
    pub kind: Option<&'a str>,
    /// From here on.
    pub since: Since,
    /// At most so many, and at most [`PAGE_MAX`].
    pub limit: usize,
}

/// Some of the events, in the order in which they were handed over: those of different threads may be a second out of order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// The events.
    pub events: Vec<Entry>,
    /// Where the next page begins.
    pub next: u64,
    /// Events from the asked-for sequence on that have left the ring before they were asked for.
    pub missed: u64,
}

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// One more than that of the event before, since the process started.
    pub seq: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// Holds the last events.
#[derive(Debug)]
pub(super) struct Ring {
    held: VecDeque<Event>,
    held_max: usize,
    next: u64,
}

impl Default for Ring {
    fn default() -> Self {
        Self::new(RING_MAX)
    }
}

impl Ring {
    /// One that holds so many.
    fn new(held_max: usize) -> Self {
        Self { held: VecDeque::new(), held_max, next: 0 }
    }

    /// Takes the newest event in; the oldest one makes room.
    pub(super) fn push(&mut self, event: Event) {
        if self.held.len() >= self.held_max {
            self.held.pop_front();
        }
        self.held.push_back(event);
        self.next += 1;
    }

    /// What is asked for, oldest first.
    pub(super) fn read(&self, query: &Query<'_>) -> Page {
        let held = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        let oldest = self.next - held;
        let (from, after) = match query.since {
            Since::Sequence(seq) if seq > self.next => (oldest, None),
            Since::Sequence(seq) => (seq, None),
            Since::Time(time) => (oldest, Some(time)),
        };
        let mut page = Page { events: Vec::new(), next: self.next, missed: oldest.saturating_sub(from) };
        let skipped = usize::try_from(from.saturating_sub(oldest)).unwrap_or(usize::MAX);
        for (event, seq) in self.held.iter().skip(skipped).zip(from.max(oldest)..) {
            let wanted = query.kind.is_none_or(|kind| event.kind.as_str() == kind)
                && after.is_none_or(|time| event.at >= time);
            if !wanted {
                continue;
            }
            if page.events.len() >= query.limit.min(PAGE_MAX) {
                page.next = seq;
                break;
            }
            page.events.push(Entry { seq, event: event.clone() });
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::events::event::{Direction, Facts, Kind, Lot, Weight};

    const KINDS: [Kind; 3] = [Kind::Websocket, Kind::Http, Kind::Database];

    fn event(kind: usize, at: i64) -> Event {
        let lot = Lot {
            kind: KINDS[kind].clone(),
            direction: Direction::In,
            outcome: "ok".into(),
            weight: Weight::Frequent,
        };
        Event::new(&lot, Facts::default(), UtcMillis(at))
    }

    fn query() -> impl Strategy<Value = (Option<usize>, Since, usize)> {
        let since = prop_oneof![
            (0u64..60).prop_map(Since::Sequence),
            (0i64..60).prop_map(|at| Since::Time(UtcMillis(at)))
        ];
        (prop::option::of(0usize..3), since, 1usize..20)
    }

    proptest! {
        /// The naive model keeps every event for ever, with its number, and looks through all of them.
        #[test]
        fn it_does_what_the_naive_model_does(
            told in prop::collection::vec((0usize..3, 0i64..60), 0..50),
            held_max in 1usize..30,
            (kind, since, limit) in query(),
        ) {
            let mut ring = Ring::new(held_max);
            let all = told.iter().map(|(kind, at)| event(*kind, *at)).enumerate().collect::<Vec<_>>();
            for (_, event) in &all {
                ring.push(event.clone());
            }
            let kind = kind.map(|kind| KINDS[kind].as_str());
            let page = ring.read(&Query { kind, since, limit });
            let oldest = all.len().saturating_sub(held_max);
            let wanted = all.iter().skip(oldest).filter(|(seq, event)| {
                let since = match since {
                    Since::Sequence(since) => since > all.len() as u64 || *seq as u64 >= since,
                    Since::Time(time) => event.at >= time,
                };
                since && kind.is_none_or(|kind| event.kind.as_str() == kind)
            }).collect::<Vec<_>>();
            let shown = wanted.iter().take(limit)
                .map(|(seq, event)| Entry { seq: *seq as u64, event: event.clone() }).collect::<Vec<_>>();
            prop_assert_eq!(page.events, shown);
            prop_assert_eq!(page.next, wanted.get(limit).map_or(all.len() as u64, |(seq, _)| *seq as u64));
            let missed = match since {
                Since::Sequence(since) if since <= all.len() as u64 => (oldest as u64).saturating_sub(since),
                Since::Sequence(_) | Since::Time(_) => 0,
            };
            prop_assert_eq!(page.missed, missed);
        }

        /// Pages follow one another without a gap and without a repetition.
        #[test]
        fn pages_are_the_whole(told in prop::collection::vec((0usize..3, 0i64..60), 0..50), limit in 1usize..9) {
            let mut ring = Ring::new(40);
            told.iter().for_each(|(kind, at)| ring.push(event(*kind, *at)));
            let (mut seen, mut since) = (Vec::new(), 0);
            loop {
                let page = ring.read(&Query { kind: Some("http"), since: Since::Sequence(since), limit });
                since = page.next;
                if page.events.is_empty() {
                    break;
                }
                seen.extend(page.events);
            }
            let whole = ring.read(&Query { kind: Some("http"), since: Since::Sequence(0), limit: PAGE_MAX });
            prop_assert_eq!(seen, whole.events);
        }
    }
}
