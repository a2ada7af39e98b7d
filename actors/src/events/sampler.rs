//! Which events are shown one by one and which are stood for. Pure: no chance and no clock. Of each lot the first few of a tick are
//! kept as they are; one more stands for all that follow, so what is kept adds up to exactly what happened.

use super::event::{Event, Lot, Weight};

/// Events of one frequent lot that one thread shows as they are in one tick.
const FREQUENT_SHOWN: usize = 4;
/// The same of a lot that matters.
const LASTING_SHOWN: usize = 16;
/// Different lots in one tick of one thread. Outcomes beyond it are shown as [`OTHER`], because a peer may choose its close code.
const LOTS_MAX: usize = 64;
/// The outcome of what is beyond the bound.
const OTHER: &str = "other";

/// What one thread was told since it last handed over.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    lots: Vec<Seen>,
    kept: Vec<Event>,
}

#[derive(Debug)]
struct Seen {
    lot: Lot,
    shown: usize,
    /// The place of the event that stands for the rest.
    stand_in: Option<usize>,
}

impl Sampler {
    /// Takes one event; `make` is asked for it only when it is kept.
    pub(super) fn take(&mut self, lot: Lot, make: impl FnOnce(&Lot) -> Event) {
        let seen = match self.place_of(&lot) {
            Some(place) => &mut self.lots[place],
            None => {
                let place = self.enter(lot);
                &mut self.lots[place]
            }
        };
        if let Some(stand_in) = seen.stand_in {
            self.kept[stand_in].sampled += 1;
            return;
        }
        if seen.shown < shown_max(seen.lot.weight) {
            seen.shown += 1;
        } else {
            seen.stand_in = Some(self.kept.len());
        }
        self.kept.push(make(&seen.lot));
    }

    /// Everything that is kept, in order; a new tick begins.
    pub(super) fn drain(&mut self) -> Vec<Event> {
        self.lots.clear();
        std::mem::take(&mut self.kept)
    }

    fn place_of(&self, lot: &Lot) -> Option<usize> {
        self.lots.iter().position(|seen| seen.lot == *lot)
    }

    fn enter(&mut self, mut lot: Lot) -> usize {
        if self.lots.len() >= LOTS_MAX {
            lot.outcome = OTHER.into();
            if let Some(place) = self.place_of(&lot) {
                return place;
            }
        }
        self.lots.push(Seen { lot, shown: 0, stand_in: None });
        self.lots.len() - 1
    }
}

fn shown_max(weight: Weight) -> usize {
    match weight {
        Weight::Frequent => FREQUENT_SHOWN,
        Weight::Lasting => LASTING_SHOWN,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::UtcMillis;
    use crate::events::event::{Direction, Facts, Kind};

    fn lot(n: u16) -> Lot {
        let kind = if n.is_multiple_of(2) { Kind::Websocket } else { Kind::Provider("kimi".into()) };
        let weight = if n.is_multiple_of(3) { Weight::Lasting } else { Weight::Frequent };
        Lot { kind, direction: Direction::In, outcome: format!("outcome-{n}").into(), weight }
    }

    proptest! {
        /// What the samples stand for is what happened, lot by lot, as long as there are not too many lots.
        #[test]
        fn the_samples_add_up(told in prop::collection::vec(prop::collection::vec(0u16..40, 0..300), 1..4)) {
            let mut sampler = Sampler::default();
            for tick in told {
                let mut happened = BTreeMap::<String, u64>::new();
                for n in &tick {
                    let lot = lot(*n);
                    *happened.entry(lot.outcome.to_string()).or_default() += 1;
                    sampler.take(lot, |lot| Event::new(lot, Facts::default(), UtcMillis(0)));
                }
                let mut stood_for = BTreeMap::<String, u64>::new();
                let mut shown = BTreeMap::<String, usize>::new();
                for event in sampler.drain() {
                    *stood_for.entry(event.outcome.to_string()).or_default() += event.sampled;
                    *shown.entry(event.outcome.to_string()).or_default() += 1;
                    prop_assert!(shown[&*event.outcome] <= shown_max(event.weight) + 1);
                    prop_assert!(event.sampled == 1 || shown[&*event.outcome] == shown_max(event.weight) + 1);
                }
                prop_assert_eq!(stood_for, happened);
            }
        }
    }

    #[test]
    fn lots_without_end_take_no_memory_without_end_and_are_counted_all_the_same() {
        let mut sampler = Sampler::default();
        for n in 0..10_000 {
            sampler.take(lot(n), |lot| Event::new(lot, Facts::default(), UtcMillis(0)));
        }
        assert!(sampler.lots.len() <= LOTS_MAX + 4, "{}", sampler.lots.len());
        let kept = sampler.drain();
        assert_eq!(kept.iter().map(|event| event.sampled).sum::<u64>(), 10_000);
        assert!(kept.len() <= LOTS_MAX + 4 * (LASTING_SHOWN + 1), "{}", kept.len());
    }
}
