//! A script prints as it parses, and nonsense is refused with a reason.

use exai_upstream::{Script, UsagePlace};
use proptest::prelude::*;

fn count() -> impl Strategy<Value = Option<u32>> {
    proptest::option::of(1u32..=1_000_000)
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(".{1,12}")
}

prop_compose! {
    fn scripts()(
        counts in proptest::collection::vec(count(), 19),
        switches in proptest::collection::vec(any::<bool>(), 15),
        texts in proptest::collection::vec(text(), 6),
        usage in proptest::option::of(prop_oneof![
            Just(UsagePlace::None), Just(UsagePlace::Choice), Just(UsagePlace::Top), Just(UsagePlace::Both),
        ]),
    ) -> Script {
        Script {
            tokens: counts[0], think: counts[1], pace_ms: counts[2], delay_ms: counts[3], slow_headers_ms: counts[4],
            early_hints_ms: counts[16], comments_after: counts[17], empties_after: counts[18],
            stall_after: counts[5], cut_after: counts[6], eof_after: counts[7], reset_after: counts[8],
            garbage_after: counts[9], error_after: counts[10], huge: counts[11], split: counts[12], cached: counts[13],
            retry_after: counts[14], wait: counts[15],
            hang_up: switches[0], reset: switches[1], garbage: switches[2], html: switches[3], wrong_type: switches[4],
            endless: switches[5], no_done: switches[6], comments: switches[7], crlf: switches[8], no_space: switches[9],
            bare: switches[10], echo: switches[11], int_code: switches[12],
            leave: switches[13], corpse: switches[14],
            finish: texts[0].clone(), model: texts[1].clone(), reasoning: texts[2].clone(), tool: texts[3].clone(),
            refuse: texts[4].clone(), redirect: texts[5].clone(),
            usage,
        }
    }
}

proptest! {
    #[test]
    fn every_script_round_trips(script in scripts()) {
        let text = script.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?} does not fit in a header");
        prop_assert_eq!(text.parse::<Script>().unwrap(), script);
    }

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        if let Ok(script) = text.parse::<Script>() {
            prop_assert_eq!(script.to_string().parse::<Script>().unwrap(), script);
        }
    }
}

#[test]
fn the_documented_examples_parse() {
    let script = Script::of("delay=1000+tokens=50+usage=both+refuse=1302+int-code");
    assert_eq!((script.delay_ms, script.tokens), (Some(1000), Some(50)));
    assert_eq!((script.usage, script.int_code), (Some(UsagePlace::Both), true));
    assert_eq!(Script::of(""), Script::default());
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    for (text, reason) in [
        ("tokens", "no switch is called \"tokens\""),
        ("tokens=many", "tokens takes a number, not \"many\""),
        ("split=0", "split=0 is out of range"),
        ("pace=9999999", "out of range"),
        ("dance=1", "no key is called \"dance\""),
        ("finish=", "finish takes a value"),
        ("finish=%F", "bad %-escape"),
        ("usage=here", "none, choice, top or both"),
    ] {
        let error = text.parse::<Script>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}
