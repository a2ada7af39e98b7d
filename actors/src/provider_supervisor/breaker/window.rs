//! How many calls ended lately, and how many of them failed: ten buckets of three seconds that are used in turn. Pure.

use std::time::Duration;

use crate::clock::Instant;

/// Buckets of the window.
pub(super) const BUCKETS: u64 = 10;
/// The time that one bucket holds; ten of them make the 30 s of the window.
pub(super) const BUCKET: Duration = Duration::from_secs(3);

/// The outcomes of the last 30 s, to within one bucket.
#[derive(Debug, Clone)]
pub(super) struct Window {
    origin: Instant,
    buckets: [Bucket; BUCKETS as usize],
}

/// What ended in one span of time.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Which span, counted from the window's origin; a bucket of an older round is empty.
    span: u64,
    counts: Counts,
}

/// Ended calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u32,
    pub(super) failures: u32,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self { origin: now, buckets: [Bucket::default(); BUCKETS as usize] }
    }

    pub(super) fn add(&mut self, failed: bool, now: Instant) {
        let span = self.span(now);
        let bucket = &mut self.buckets[(span % BUCKETS) as usize];
        if bucket.span != span {
            *bucket = Bucket { span, counts: Counts::default() };
        }
        bucket.counts.calls = bucket.counts.calls.saturating_add(1);
        bucket.counts.failures = bucket.counts.failures.saturating_add(u32::from(failed));
    }

    pub(super) fn counts(&self, now: Instant) -> Counts {
        let oldest = self.span(now).saturating_sub(BUCKETS - 1);
        let recent = self.buckets.iter().filter(|bucket| bucket.span >= oldest);
        recent.fold(Counts::default(), |sum, bucket| Counts {
            calls: sum.calls.saturating_add(bucket.counts.calls),
            failures: sum.failures.saturating_add(bucket.counts.failures),
        })
    }

    fn span(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs() / BUCKET.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn outcomes_are_forgotten_bucket_by_bucket() {
        let start = clock::now();
        let mut window = Window::new(start);
        for second in 0..30 {
            window.add(second % 3 == 0, start + Duration::from_secs(second));
        }
        assert_eq!(window.counts(start + Duration::from_secs(29)), Counts { calls: 30, failures: 10 });
        assert_eq!(window.counts(start + Duration::from_secs(30)), Counts { calls: 27, failures: 9 });
        assert_eq!(window.counts(start + Duration::from_secs(58)), Counts { calls: 0, failures: 0 });
        window.add(true, start + Duration::from_secs(3_000));
        assert_eq!(window.counts(start + Duration::from_secs(3_000)), Counts { calls: 1, failures: 1 });
    }
}
