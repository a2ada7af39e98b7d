//! How long an upstream asks us to wait: by header, or in the middle of a sentence.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use awc::http::header::{HeaderMap, HttpDate};

use crate::clock::UtcMillis;

/// The longest wait that is believed: the longest documented limit is monthly.
const WAIT_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// Z.ai writes reset times without a zone; its home is eight hours ahead of UTC.
const ZAI_HOME_AHEAD: Duration = Duration::from_secs(8 * 3600);

/// `Retry-After` (RFC 9110, section 10.2.3), Azure's `retry-after-ms`, and the `x-ratelimit-reset` families.
pub(super) fn from_headers(headers: &HeaderMap, now: UtcMillis) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let by_ms = || text("retry-after-ms")?.parse().ok().map(Duration::from_millis);
    let by_retry_after = || {
        let value = text("retry-after")?;
        seconds(value).or_else(|| {
            let date = SystemTime::from(value.parse::<HttpDate>().ok()?);
            until(date.duration_since(UNIX_EPOCH).ok()?, now)
        })
    };
    let by_reset = || until(seconds(text("x-ratelimit-reset")?)?, now);
    // OpenAI and Groq: a budget of requests and one of tokens; what is used up says when it is whole again.
    let by_budget = |what: &str| {
        let left = text(&format!("x-ratelimit-remaining-{what}"))?;
        (left == "0").then(|| span(text(&format!("x-ratelimit-reset-{what}"))?)).flatten()
    };
    by_ms()
        .or_else(by_retry_after)
        .or_else(by_reset)
        .or_else(|| by_budget("requests").max(by_budget("tokens")))
        .map(|wait| wait.min(WAIT_MAX))
}

/// `please try again after 3 seconds` (Kimi), `try again in 6m0s` (OpenAI), `will reset at 2026-11-22 07:00:00` (Z.ai).
pub(super) fn from_prose(message: &str, now: UtcMillis) -> Option<Duration> {
    let after = |marker: &str| message.find(marker).and_then(|at| message.get(at + marker.len()..));
    let wait = match after("again after ").or_else(|| after("again in ")) {
        Some(rest) => span(rest),
        None => reset_time(after("reset at ")?, now),
    };
    wait.map(|wait| wait.min(WAIT_MAX))
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// From now to a moment given as time since 1970; none when it is past.
fn until(moment: Duration, now: UtcMillis) -> Option<Duration> {
    let now = Duration::from_millis(u64::try_from(now.0).ok()?);
    moment.checked_sub(now).filter(|wait| !wait.is_zero())
}

/// `1s`, `6m0s`, `250ms`, `1.5 seconds`, `2 minutes`: the numbers with units at the text's beginning.
fn span(text: &str) -> Option<Duration> {
    let mut total = None;
    let mut rest = text;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let Ok(number) = rest[..digits].trim_end_matches('.').parse::<f64>() else { return total };
        let unit = rest[digits..].trim_start();
        let letters = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let scale = match &unit[..letters] {
            "ms" => 0.001,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            _ => return total,
        };
        let part = Duration::try_from_secs_f64(number * scale).ok()?;
        total = Some(total.unwrap_or(Duration::ZERO).checked_add(part)?);
        rest = &unit[letters..];
    }
}

/// The wait until `YYYY-MM-DD hh:mm:ss`. The zone is not documented, so the earlier of the readings that lie ahead is taken:
/// coming back too early costs one refusal, too late costs hours.
fn reset_time(text: &str, now: UtcMillis) -> Option<Duration> {
    let utc = since_epoch(text.get(..19)?)?;
    until(utc.saturating_sub(ZAI_HOME_AHEAD), now).or_else(|| until(utc, now))
}

fn since_epoch(text: &str) -> Option<Duration> {
    let mut numbers = text.split(['-', ' ', ':', 'T']).map(str::parse::<u32>);
    let mut next = |low: u32, high: u32| numbers.next()?.ok().filter(|number| (low..=high).contains(number));
    let (year, month, day) = (next(1970, 9999)?, next(1, 12)?, next(1, 31)?);
    let (hour, minute, second) = (next(0, 23)?, next(0, 59)?, next(0, 60)?);
    // Days in the proleptic Gregorian calendar, counted in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = u64::from(days.checked_sub(719_468)?);
    Some(Duration::from_secs(days * 86_400 + u64::from(hour * 3600 + minute * 60 + second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcMillis = UtcMillis(1_795_330_800_000);

    #[test]
    fn a_wait_is_read_out_of_a_sentence() {
        for (sentence, expected) in [
            ("max concurrency: 1, please try again after 3 seconds; x", Some(3.0)),
            ("please try again after 1 seconds", Some(1.0)),
            ("Please try again in 6m0s. Visit", Some(360.0)),
            ("Please try again in 250ms.", Some(0.25)),
            ("try again in 1.5s.", Some(1.5)),
            ("please try again after 99999999999 hours", Some(WAIT_MAX.as_secs_f64())),
            ("please try again later", None),
            ("try again after lunch", None),
            ("again in \u{4e2d}", None),
            ("", None),
        ] {
            assert_eq!(from_prose(sentence, NOW).map(|wait| wait.as_secs_f64()), expected, "{sentence}");
        }
    }

    #[test]
    fn a_reset_time_is_read_as_the_earlier_one_ahead() {
        // 2026-11-22 07:00:00 UTC.
        assert_eq!(since_epoch("2026-11-22 07:00:00"), Some(Duration::from_millis(NOW.0 as u64)));
        assert_eq!(since_epoch("1970-01-01 00:00:01"), Some(Duration::from_secs(1)));
        let wait = |time: &str| from_prose(&format!("Your limit will reset at {time}"), NOW);
        assert_eq!(wait("2026-11-22 09:00:00"), Some(Duration::from_secs(2 * 3600)));
        assert_eq!(wait("2026-11-22 16:00:00"), Some(Duration::from_secs(3600)));
        for none in
            ["2026-11-22 07:00:00", "2020-01-01 00:00:00", "2026-13-22 07:00:00", "soon", "2026-11-22"]
        {
            assert_eq!(wait(none), None, "{none}");
        }
    }

    #[test]
    fn headers_name_a_wait_in_five_ways() {
        use awc::http::header::{HeaderName, HeaderValue};
        let wait = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            from_headers(&pairs.collect(), NOW).map(|wait| wait.as_secs_f64())
        };
        assert_eq!(wait(&[("retry-after", "7")]), Some(7.0));
        assert_eq!(wait(&[("retry-after", "Sun, 22 Nov 2026 07:00:30 GMT")]), Some(30.0));
        assert_eq!(wait(&[("retry-after", "9"), ("retry-after-ms", "1500")]), Some(1.5));
        assert_eq!(wait(&[("x-ratelimit-reset", "1795330860")]), Some(60.0));
        let budgets = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ];
        assert_eq!(wait(&budgets), Some(360.0));
        assert_eq!(
            wait(&[("x-ratelimit-remaining-requests", "4"), ("x-ratelimit-reset-requests", "1s")]),
            None
        );
        for odd in ["-1", "NaN", "inf", "soon", ""] {
            assert_eq!(wait(&[("retry-after", odd)]), None, "{odd}");
        }
    }
}
