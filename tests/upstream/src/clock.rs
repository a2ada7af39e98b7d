//! The only place in this crate that asks what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Z.ai stamps its ids and reset times in Beijing time, eight hours ahead of UTC.
const BEIJING_SECONDS: u64 = 8 * 3600;

/// A moment on the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970 in UTC; 0 on a host whose clock stands before that.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// The Beijing civil time of a UTC second, as `[year, month, day, hour, minute, second]`.
fn beijing(unix: u64) -> [u64; 6] {
    let local = unix + BEIJING_SECONDS;
    let (days, rest) = (local / 86_400, local % 86_400);
    // Howard Hinnant's `civil_from_days`, for days after 1970.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    [year, month, day, rest / 3600, rest % 3600 / 60, rest % 60]
}

/// Fourteen digits, the way a Z.ai response id begins.
pub(crate) fn digits(unix: u64) -> String {
    let [y, mo, d, h, mi, s] = beijing(unix);
    format!("{y:04}{mo:02}{d:02}{h:02}{mi:02}{s:02}")
}

/// `2026-11-22 07:00:00`, the way Z.ai names a reset time in prose.
pub(crate) fn prose(unix: u64) -> String {
    let [y, mo, d, h, mi, s] = beijing(unix);
    format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_z_ai_stamp_comes_out() {
        assert_eq!(digits(1_773_349_389), "20260313050309");
        assert_eq!(prose(1_709_164_800), "2024-02-29 08:00:00");
    }
}
