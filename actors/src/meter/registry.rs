//! Which labels stand at which index, within one thread. Bounded for each family: what comes beyond is counted as `other`. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::families::Counter;

/// Series of one family, the one for everything else included.
pub(super) const SERIES_MAX: usize = 256;
/// What stands in each label of the series for everything else.
const OTHER: &str = "other";
/// Bytes of one label that are kept.
const LABEL_BYTES_MAX: usize = 128;

/// The values of a series' labels, in the order of [`Counter::labels`].
pub type Labels = Arc<[Box<str>]>;

/// The series of one thread. The first of each family is the one for everything else.
pub(super) struct Registry {
    hasher: RandomState,
    places: HashMap<u64, usize>,
    series: [Vec<Labels>; Counter::ALL.len()],
}

impl Registry {
    pub(super) fn new() -> Self {
        let other = |counter: Counter| vec![counter.labels().iter().map(|_| Box::from(OTHER)).collect()];
        Self { hasher: RandomState::new(), places: HashMap::new(), series: Counter::ALL.map(other) }
    }

    /// The index of a series in the thread's array. It allocates only where the labels are new.
    pub(super) fn place(&mut self, counter: Counter, labels: &[&str]) -> usize {
        debug_assert_eq!(labels.len(), counter.labels().len(), "{counter:?} has other labels");
        let family = counter as usize;
        let hash = self.hasher.hash_one((family, labels));
        if let Some(place) = self.places.get(&hash) {
            let series = self.series[family].get(place % SERIES_MAX);
            // Two sets of labels with one hash are as good as never; the later one is counted as `other`, and no sum is wrong.
            let same = place / SERIES_MAX == family
                && series.is_some_and(|known| {
                    known.iter().zip(labels).all(|(known, label)| **known == *clip(label))
                });
            return if same { *place } else { family * SERIES_MAX };
        }
        let known = &mut self.series[family];
        if known.len() == SERIES_MAX {
            return family * SERIES_MAX;
        }
        let place = family * SERIES_MAX + known.len();
        known.push(labels.iter().map(|label| Box::from(clip(label))).collect());
        self.places.insert(hash, place);
        place
    }

    /// Every series of a family with its index.
    pub(super) fn of(&self, counter: Counter) -> impl Iterator<Item = (usize, &Labels)> {
        let first = counter as usize * SERIES_MAX;
        self.series[counter as usize].iter().enumerate().map(move |(n, labels)| (first + n, labels))
    }
}

fn clip(label: &str) -> &str {
    &label[..label.floor_char_boundary(LABEL_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_labels_have_the_same_place_and_too_many_share_one() {
        let mut registry = Registry::new();
        let first = registry.place(Counter::Dropped, &["a"]);
        assert_eq!(registry.place(Counter::Dropped, &["a"]), first);
        assert_ne!(registry.place(Counter::Files, &["a"]), first);
        let places = (0..10_000)
            .map(|n| registry.place(Counter::Dropped, &[&format!("attack-{n}")]))
            .collect::<Vec<_>>();
        assert_eq!(places.last(), Some(&(Counter::Dropped as usize * SERIES_MAX)));
        assert_eq!(registry.of(Counter::Dropped).count(), SERIES_MAX);
        assert_eq!(registry.place(Counter::Dropped, &["a"]), first);
    }
}
