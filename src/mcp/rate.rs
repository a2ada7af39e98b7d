//! How often somebody may do something: a token bucket. Pure: time is an argument.

use std::time::Duration;

use exai_actors::clock::Instant;

/// So many at once, and so many a second in the long run.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(burst: u32, per_second: f64, now: Instant) -> Self {
        Self { burst: f64::from(burst), per_second, tokens: f64::from(burst), at: now }
    }

    /// Takes a token, or says when there will be one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let grown = now.duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + grown).min(self.burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((1.0 - self.tokens) / self.per_second).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exai_actors::clock;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = clock::now();
        let mut bucket = Bucket::new(50, 20.0, start);
        assert_eq!((0..60).filter(|_| bucket.take(start).is_ok()).count(), 50);
        let wait = bucket.take(start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(50));
        let mut passed = 0;
        for tick in 1..=1000u32 {
            passed += u32::from(bucket.take(start + Duration::from_millis(10) * tick).is_ok());
        }
        assert!((199..=201).contains(&passed), "{passed} in ten seconds");
    }
}
