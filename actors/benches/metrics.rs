//! What one record costs: a counter, a distribution and a look-up by labels, on one thread and beside another one that counts too; and
//! the predecessor's loop, an operation with its record in our shape against the bare operation.
//!
//! What is measured is the thread's processor time, as others use the machine too. Two threads share nothing that we wrote; how much the
//! processor itself slows one beside another is what the control shows, which touches no memory.
#![allow(
    missing_docs,
    unused_crate_dependencies,
    reason = "a bench's own functions are made by criterion's macros"
)]
#![allow(clippy::disallowed_methods, reason = "a bench reads the time itself")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use exai_actors::meter::{self, Counter, Distribution};
use rustix::time::{ClockId, clock_gettime};

/// The processor time of the measuring thread.
struct Processor;

impl Measurement for Processor {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0))
    }

    fn end(&self, began: Duration) -> Duration {
        self.start() - began
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Runs `bench` while another thread does the same record without pause.
fn beside(record: fn(), bench: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                (0..1024).for_each(|_| record());
            }
        });
        bench();
        stop.store(true, Ordering::Relaxed);
    });
}

fn count() {
    let slot = meter::slot(Counter::Messages, &["websocket", "in"]);
    for _ in 0..64 {
        black_box(slot).add(1);
    }
}

fn observe() {
    for n in 0..64u64 {
        meter::record(Distribution::Call, black_box(40_000 + n * 997));
    }
}

/// Steps of one multiplication each, which wait for one another.
fn spin(mut n: u64) -> u64 {
    for _ in 0..64 {
        n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n >> 7);
    }
    n
}

fn control(criterion: &mut Criterion<Processor>) {
    let steps = |bencher: &mut Bencher<'_, Processor>| bencher.iter(|| spin(black_box(1)));
    criterion.bench_function("control, one thread", steps);
    beside(
        || {
            black_box(spin(black_box(1)));
        },
        || {
            criterion.bench_function("control, two threads", steps);
        },
    );
}

fn records(criterion: &mut Criterion<Processor>) {
    let slot = meter::slot(Counter::Messages, &["websocket", "in"]);
    let counter = |bencher: &mut Bencher<'_, Processor>| bencher.iter(|| black_box(slot).add(1));
    let histogram = |bencher: &mut Bencher<'_, Processor>| {
        let mut n = 0u64;
        bencher.iter(|| {
            n = (n + 997) & 0xffff;
            meter::record(Distribution::Call, black_box(n));
        });
    };
    criterion.bench_function("counter, one thread", counter);
    beside(count, || {
        criterion.bench_function("counter, two threads", counter);
    });
    criterion.bench_function("histogram, one thread", histogram);
    beside(observe, || {
        criterion.bench_function("histogram, two threads", histogram);
    });
    criterion.bench_function("counter by labels", |bencher| {
        bencher
            .iter(|| meter::add(Counter::Calls, black_box(&["chat", "kimi", "kimi-k2.6", "completed"]), 1));
    });
}

/// The predecessor's operation was a look-up in a small dictionary, 59 ns in its own language; here it is ours, with SipHash.
fn operation(cache: &HashMap<String, u64>, key: &str) -> u64 {
    cache.get(black_box(key)).copied().unwrap_or(0)
}

fn predecessor(criterion: &mut Criterion<Processor>) {
    let cache = (0..1000).map(|n| (format!("conversation-{n}"), n)).collect::<HashMap<_, _>>();
    criterion.bench_function("the predecessor's operation, bare", |bencher| {
        bencher.iter(|| black_box(operation(&cache, "conversation-500")));
    });
    let slot = meter::slot(Counter::CacheOperations, &["get", "hit"]);
    criterion.bench_function("the predecessor's operation, counted", |bencher| {
        bencher.iter(|| {
            let found = black_box(operation(&cache, "conversation-500"));
            black_box(slot).add(1);
            found
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(Processor);
    targets = control, records, predecessor
}
criterion_main!(benches);
