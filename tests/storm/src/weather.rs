//! What the doubles do with the requests that reach them, drawn from the seed.

use exai_upstream::{Script, Upstream};
use fastrand::Rng;

/// The answer to requests for which nothing else is planned: whole, quick, and long enough to repeat the question.
const CALM: &str = "tokens=30+pace=0+think=0";
/// Failures before a byte of an answer, with what a real upstream would say.
const REFUSALS: [&str; 5] = ["refuse=500", "refuse=503", "reset", "hang-up", "refuse=gateway_html"];
/// Closes the provider's door to everybody for as long as it says, so it is seldom.
const RATE_LIMIT: &str = "refuse=429+retry-after=1";
/// Failures in the middle of an answer, or in place of one.
const BROKEN: [&str; 7] =
    ["garbage", "html", "cut-after=3", "eof-after=3", "reset-after=3", "garbage-after=3", "error-after=3"];
/// How many requests in a row a burst of refusals meets.
const BURST: usize = 8;

/// How rough it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Every request is answered at once.
    Calm,
    /// Every answer takes a while, and is whole.
    Steady,
    /// Answers take a second or more, so that many are under way at any moment; a few fail.
    Slow,
    /// Answers come at once, a few requests fail in every way there is, and some hang.
    Rough,
    /// As slow as that, with bursts of refusals.
    Stormy,
}

impl Weather {
    /// The same, without any failure.
    pub(crate) fn without_failures(self) -> Self {
        match self {
            Self::Calm | Self::Rough => Self::Calm,
            Self::Steady | Self::Slow | Self::Stormy => Self::Steady,
        }
    }

    /// Plans the next `requests` requests of a double.
    pub(crate) fn plan(self, double: &Upstream, requests: usize, rng: &mut Rng) {
        double.clear_scripts();
        double.set_default(Script::of(match self {
            Self::Calm | Self::Rough => CALM,
            Self::Steady | Self::Slow | Self::Stormy => "tokens=30+pace=5+delay=1500+think=0",
        }));
        if matches!(self, Self::Calm | Self::Steady) {
            return;
        }
        let mut planned = 0;
        while planned < requests {
            let burst = self == Self::Stormy && rng.u32(..100) == 0;
            for _ in 0..if burst { BURST } else { 1 } {
                let script = if burst { "refuse=503".to_owned() } else { self.script(rng) };
                double.push_script(Script::of(&script));
                planned += 1;
            }
        }
    }

    /// One request's fate.
    fn script(self, rng: &mut Rng) -> String {
        let slow = matches!(self, Self::Slow | Self::Stormy);
        match rng.u32(..1000) {
            0 if rng.u32(..4) == 0 => RATE_LIMIT.to_owned(),
            0..20 => REFUSALS[rng.usize(..REFUSALS.len())].to_owned(),
            20..40 => BROKEN[rng.usize(..BROKEN.len())].to_owned(),
            40..43 => "stall-after=2".to_owned(),
            43..60 => format!("slow-headers={}+tokens=30+think=0", rng.u32(50..500)),
            60..700 if slow => format!("delay={}+tokens=30+pace=5+think=0", rng.u32(800..4000)),
            700..800 if slow => format!("tokens={}+pace=40", rng.u32(30..80)),
            _ => format!("tokens={}+pace=0+think=0", rng.u32(20..60)),
        }
    }
}

/// Whether a script lets its answer through whole.
pub(crate) fn answers_whole(script: &str) -> bool {
    let faulty = |part: &str| {
        let key = part.split('=').next().unwrap_or(part);
        key.ends_with("-after") && key != "retry-after"
            || matches!(
                key,
                "reset" | "hang-up" | "garbage" | "html" | "wrong-type" | "refuse" | "no-done" | "redirect"
            )
    };
    !script.split('+').any(faulty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_is_a_script_and_the_seed_draws_the_same_again() {
        for weather in [Weather::Calm, Weather::Slow, Weather::Rough, Weather::Stormy] {
            let draw = |seed| {
                let mut rng = Rng::with_seed(seed);
                (0..2000).map(|_| weather.script(&mut rng)).collect::<Vec<_>>()
            };
            assert_eq!(draw(7), draw(7));
            assert_ne!(draw(7), draw(8));
            for script in draw(7) {
                assert!(script.parse::<Script>().is_ok(), "{script}");
            }
        }
    }

    #[test]
    fn a_script_that_breaks_its_answer_is_known() {
        assert!(answers_whole("") && answers_whole(CALM) && answers_whole("delay=9+tokens=30"));
        for script in REFUSALS.iter().chain(&BROKEN).chain(&[RATE_LIMIT]) {
            assert!(!answers_whole(script), "{script}");
        }
    }
}
