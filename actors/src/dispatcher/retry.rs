//! Whether a failed upstream request is made once more, and when: the rules of the one retry loop. Pure; time and randomness are
//! arguments.

use std::time::Duration;

use crate::provider::messages::{FailureClass, UpstreamFailure};

/// Upstream requests that one call may make.
pub(super) const ATTEMPTS_MAX: u32 = 3;
/// The longest wait before the second request; it doubles for the third.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// The longest wait that we choose by ourselves.
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// The most that is added to a wait which the upstream names, so that not all who heard it come back at once.
const STAGGER_MAX: Duration = Duration::from_millis(500);

/// How long to wait before the next request; none when there must not be one. `made` requests have been made, `time_left` is what
/// the call still has, `random` is from 0 to 1.
pub(super) fn wait_before_next(
    failure: &UpstreamFailure,
    made: u32,
    time_left: Duration,
    random: f64,
) -> Option<Duration> {
    if made >= ATTEMPTS_MAX || failure.tokens > 0 || !may_be_sent_again(failure, made) {
        return None;
    }
    let wait = match (failure.class, failure.retry_after) {
        (FailureClass::Stale, _) => Duration::ZERO,
        (_, Some(told)) => staggered(told, random),
        (_, None) => backoff(made).mul_f64(random),
    };
    (wait < time_left).then_some(wait)
}

/// A wait that somebody named, and a little more.
pub(super) fn staggered(told: Duration, random: f64) -> Duration {
    told.saturating_add(STAGGER_MAX.mul_f64(random))
}

fn backoff(made: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(2u32.saturating_pow(made.saturating_sub(1))).min(BACKOFF_MAX)
}

/// Never where the upstream may have run the request, and billed it, nor where it would be refused again.
fn may_be_sent_again(failure: &UpstreamFailure, made: u32) -> bool {
    match failure.class {
        FailureClass::Connect | FailureClass::Busy => true,
        // What waited beside a stale connection is not used again. One that dies the same way on its second is no accident of the pool.
        FailureClass::Stale => made == 1,
        // An answer that began with 200 was being worked on.
        FailureClass::Server => failure.status != Some(200),
        FailureClass::Timeout => matches!(failure.status, None | Some(408)),
        FailureClass::Reset
        | FailureClass::BrokenStream
        | FailureClass::Garbage
        | FailureClass::Flood
        | FailureClass::Quota
        | FailureClass::Key
        | FailureClass::UnknownModel
        | FailureClass::TooLong
        | FailureClass::ContentPolicy
        | FailureClass::Rejected
        | FailureClass::OutputCap
        | FailureClass::InvalidArguments
        | FailureClass::Misrouted
        | FailureClass::Cancelled => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: Duration = Duration::from_secs(900);

    fn failure(class: FailureClass, status: Option<u16>) -> UpstreamFailure {
        UpstreamFailure {
            class,
            status,
            code: None,
            retry_after: None,
            partial: None,
            tokens: 0,
            usage: None,
            host: "h".to_owned(),
        }
    }

    #[test]
    fn what_may_have_run_is_never_sent_again() {
        use FailureClass as Class;
        let again = [
            (Class::Connect, None),
            (Class::Stale, None),
            (Class::Timeout, None),
            (Class::Timeout, Some(408)),
            (Class::Server, Some(500)),
            (Class::Server, Some(529)),
            (Class::Busy, Some(429)),
        ];
        let never = [
            (Class::Reset, None),
            (Class::Timeout, Some(200)),
            (Class::Server, Some(200)),
            (Class::BrokenStream, Some(200)),
            (Class::Garbage, Some(200)),
            (Class::Flood, Some(200)),
            (Class::Quota, Some(429)),
            (Class::Key, Some(401)),
            (Class::UnknownModel, Some(404)),
            (Class::TooLong, Some(400)),
            (Class::ContentPolicy, Some(400)),
            (Class::Rejected, Some(400)),
            (Class::OutputCap, Some(200)),
            (Class::InvalidArguments, None),
            (Class::Misrouted, None),
            (Class::Cancelled, Some(200)),
        ];
        for (class, status) in again {
            assert!(
                wait_before_next(&failure(class, status), 1, LONG, 0.5).is_some(),
                "{class:?} {status:?}"
            );
            let begun = UpstreamFailure { tokens: 1, ..failure(class, status) };
            assert_eq!(wait_before_next(&begun, 1, LONG, 0.5), None, "{class:?} after the first token");
        }
        for (class, status) in never {
            assert_eq!(wait_before_next(&failure(class, status), 1, LONG, 0.5), None, "{class:?} {status:?}");
        }
        assert_eq!(wait_before_next(&failure(Class::Stale, None), 2, LONG, 0.5), None);
    }

    #[test]
    fn a_wait_that_the_upstream_names_is_kept() {
        let told = Some(Duration::from_secs(20));
        let busy = UpstreamFailure { retry_after: told, ..failure(FailureClass::Busy, Some(429)) };
        assert_eq!(wait_before_next(&busy, 1, LONG, 0.0), told);
        assert_eq!(wait_before_next(&busy, 1, LONG, 1.0), Some(Duration::from_millis(20_500)));
        assert_eq!(wait_before_next(&busy, 1, Duration::from_secs(20), 0.0), None, "past the deadline");
    }

    proptest! {
        #[test]
        fn a_wait_of_our_own_is_within_its_bounds(made in 1u32..6, random in 0.0..=1.0f64, left in 0u64..20_000) {
            let left = Duration::from_millis(left);
            match wait_before_next(&failure(FailureClass::Server, Some(503)), made, left, random) {
                None => prop_assert!(made >= ATTEMPTS_MAX || backoff(made).mul_f64(random) >= left),
                Some(wait) => {
                    prop_assert!(made < ATTEMPTS_MAX && wait < left);
                    prop_assert!(wait <= BACKOFF_FIRST * 2u32.pow(made - 1) && wait <= BACKOFF_MAX);
                }
            }
        }
    }
}
