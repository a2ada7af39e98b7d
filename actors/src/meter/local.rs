//! The meter of a thread. What it holds outlives every panic on its thread, and is handed in when the thread ends.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::mpsc;

use super::families::{Counter, Distribution};
use super::registry::{Labels, Registry, SERIES_MAX};

/// The largest value that a distribution tells apart: an hour in microseconds.
const VALUE_MAX: u64 = 3_600_000_000;
/// Decimal digits that are kept of a recorded value: within 1 %.
const DIGITS: u8 = 2;
/// Recording is compiled out where what it costs is measured.
const ON: bool = cfg!(not(feature = "metrics-off"));

thread_local! {
    static METER: Meter = Meter::new();
}

/// Counts `n` in the series with these labels, which are looked up by one hash. Labels beyond the bound are counted as `other`.
pub fn add(counter: Counter, labels: &[&str], n: u64) {
    if ON {
        slot(counter, labels).add(n);
    }
}

/// Finds a series once, for whoever counts in it often.
pub fn slot(counter: Counter, labels: &[&str]) -> Slot {
    let place = METER.try_with(|meter| meter.registry.borrow_mut().place(counter, labels));
    Slot { place: place.unwrap_or(counter as usize * SERIES_MAX), _this_thread: PhantomData }
}

/// A series of this thread.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    place: usize,
    /// The index means nothing on another thread.
    _this_thread: PhantomData<*const ()>,
}

impl Slot {
    /// Counts `n`.
    #[inline]
    pub fn add(self, n: u64) {
        if ON {
            // A thread that is ending has handed in what it held; what it counts beyond that is nobody's.
            let _ = METER.try_with(|meter| {
                let cell = &meter.counters[self.place];
                cell.set(cell.get().wrapping_add(n));
            });
        }
    }
}

/// Records a time.
#[inline]
pub fn observe(distribution: Distribution, time: Duration) {
    record(distribution, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
}

/// Records a value as it is kept: microseconds, or a number of things.
#[inline]
pub fn record(distribution: Distribution, value: u64) {
    if ON {
        let _ = METER.try_with(|meter| {
            let cells = &meter.distributions[distribution as usize];
            cells.sum.set(cells.sum.get().wrapping_add(value));
            cells.histogram.get_or_init(new_histogram).borrow_mut().saturating_record(value);
        });
    }
}

/// Notes how long a message waited for an actor; the longest wait counts.
pub fn waited(actor: &'static str, wait: Duration) {
    let _ = METER.try_with(|meter| {
        let mut mailboxes = meter.mailboxes.borrow_mut();
        let longest = mailboxes.entry(actor).or_default();
        *longest = wait.max(*longest);
    });
}

/// What a thread counted since it last handed in.
#[derive(Debug, Default)]
pub struct Delta {
    /// The thread.
    pub thread: &'static str,
    /// How late its tick came: how long its event loop was held up at that moment.
    pub lag: Duration,
    /// Each series that moved, and by how much.
    pub counters: Vec<(Counter, Labels, u64)>,
    /// Each distribution that moved.
    pub distributions: Vec<(Distribution, Values)>,
    /// The longest wait of a message for each actor of the thread.
    pub mailboxes: BTreeMap<&'static str, Duration>,
}

/// Values that were recorded.
#[derive(Debug, Default)]
pub struct Values {
    /// Values, within 1 %, with how often each came.
    pub counts: Vec<(u64, u64)>,
    /// The exact sum of them all.
    pub sum: u64,
}

struct Meter {
    counters: Box<[Cell<u64>]>,
    distributions: [Cells; Distribution::ALL.len()],
    registry: RefCell<Registry>,
    mailboxes: RefCell<BTreeMap<&'static str, Duration>>,
    /// Whose it is, and where it hands in.
    sink: OnceCell<(&'static str, mpsc::Sender<Delta>)>,
    /// Room for what it holds when the thread ends, kept free from the beginning: nobody can wait for room then.
    last: Cell<Option<mpsc::OwnedPermit<Delta>>>,
}

#[derive(Default)]
struct Cells {
    /// Made at the first value: most threads record few of them.
    histogram: OnceCell<RefCell<Histogram<u64>>>,
    sum: Cell<u64>,
}

fn new_histogram() -> RefCell<Histogram<u64>> {
    let histogram = Histogram::new_with_max(VALUE_MAX, DIGITS);
    RefCell::new(histogram.expect("the bounds are constants that the library takes"))
}

impl Meter {
    fn new() -> Self {
        Self {
            counters: vec![Cell::new(0); Counter::ALL.len() * SERIES_MAX].into_boxed_slice(),
            distributions: Default::default(),
            registry: RefCell::new(Registry::new()),
            mailboxes: RefCell::default(),
            sink: OnceCell::new(),
            last: Cell::new(None),
        }
    }

    fn take(&self, thread: &'static str, lag: Duration) -> Delta {
        let registry = self.registry.borrow();
        let mut counters = Vec::new();
        for counter in Counter::ALL {
            for (place, labels) in registry.of(counter) {
                let n = self.counters[place].take();
                if n > 0 {
                    counters.push((counter, Labels::clone(labels), n));
                }
            }
        }
        let mut distributions = Vec::new();
        for distribution in Distribution::ALL {
            let cells = &self.distributions[distribution as usize];
            let Some(histogram) = cells.histogram.get() else { continue };
            let mut histogram = histogram.borrow_mut();
            if histogram.is_empty() {
                continue;
            }
            let counted = histogram.iter_recorded();
            let counts =
                counted.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect();
            distributions.push((distribution, Values { counts, sum: cells.sum.take() }));
            histogram.reset();
        }
        Delta { thread, lag, counters, distributions, mailboxes: self.mailboxes.take() }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let (Some((thread, _)), Some(room)) = (self.sink.get(), self.last.take()) {
            room.send(self.take(thread, Duration::ZERO));
        }
    }
}

/// Ties this thread's meter to a sink; false if it is tied already.
pub(super) fn tie(thread: &'static str, sink: &mpsc::Sender<Delta>) -> bool {
    METER.with(|meter| {
        let is_first = meter.sink.set((thread, sink.clone())).is_ok();
        if is_first {
            meter.last.set(sink.clone().try_reserve_owned().ok());
        }
        is_first
    })
}

/// Hands in what this thread's meter holds; it keeps it where the sink has no room. False when nobody is there to take it.
pub fn hand_in(lag: Duration) -> bool {
    METER.with(|meter| {
        let Some((thread, sink)) = meter.sink.get() else { return false };
        match sink.try_reserve() {
            Ok(room) => {
                room.send(meter.take(thread, lag));
                true
            }
            Err(mpsc::error::TrySendError::Full(())) => true,
            Err(mpsc::error::TrySendError::Closed(())) => false,
        }
    })
}

#[cfg(all(test, not(feature = "metrics-off")))]
mod tests {
    use super::*;

    #[test]
    fn a_delta_has_what_moved_and_the_next_one_only_what_moved_since() {
        // Nobody takes anything until the thread has ended: the second delta fills what is free, and the last has room of its own.
        let (sink, mut deltas) = mpsc::channel(2);
        let thread = std::thread::spawn(move || {
            assert!(tie("a", &sink) && !tie("b", &sink));
            add(Counter::Dropped, &["x"], 2);
            record(Distribution::StorageBatchRows, 7);
            assert!(hand_in(Duration::ZERO));
            let panicked = std::panic::catch_unwind(|| {
                add(Counter::Dropped, &["x"], 3);
                panic!("what was counted outlives this");
            });
            assert!(panicked.is_err());
            assert!(hand_in(Duration::ZERO), "it keeps what finds no room");
        });
        thread.join().unwrap();
        let first = deltas.try_recv().unwrap();
        assert_eq!((first.thread, first.counters[0].2), ("a", 2));
        assert_eq!((&first.distributions[0].1.counts, first.distributions[0].1.sum), (&vec![(7, 1)], 7));
        let last = deltas.try_recv().unwrap();
        assert_eq!((last.counters[0].2, last.distributions.len()), (3, 0));
    }

    #[test]
    fn a_full_sink_makes_the_meter_wait_and_lose_nothing() {
        let (sink, mut deltas) = mpsc::channel(2);
        tie("a", &sink);
        add(Counter::Files, &["kept"], 1);
        assert!(hand_in(Duration::ZERO));
        add(Counter::Files, &["kept"], 1);
        assert!(hand_in(Duration::ZERO));
        assert_eq!(deltas.try_recv().unwrap().counters[0].2, 1);
        assert!(deltas.try_recv().is_err());
        add(Counter::Files, &["kept"], 1);
        hand_in(Duration::ZERO);
        assert_eq!(deltas.try_recv().unwrap().counters[0].2, 2);
    }
}
