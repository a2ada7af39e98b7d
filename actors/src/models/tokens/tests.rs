//! Against a real tokenizer (OpenAI's o200k): the makes publish none of their own, and theirs are of the same kind.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

const ENGLISH: &str = "Circuit breakers protect a caller from a dependency that has stopped answering. When too many calls fail \
    in a short time, the breaker opens and refuses further calls at once, so that threads, sockets and patience are not spent on a \
    host which cannot help. After a pause it lets one call through; if that succeeds, it closes again. Please review the following \
    change and tell me, as precisely as you can, where two requests could wait for each other forever.";
const CHINESE: &str = "人工智能是计算机科学的一个分支，它企图了解智能的实质，并生产出一种新的能以人类智能相似的方式做出反应的智能机器。\
    该领域的研究包括机器人、语言识别、图像识别、自然语言处理和专家系统等。请检查这段代码为什么在并发情况下会死锁，并给出修改建议。";
const RUSSIAN: &str = "Искусственный интеллект — свойство искусственных интеллектуальных систем выполнять творческие функции, которые \
    традиционно считаются прерогативой человека. Пожалуйста, проверьте этот код и объясните, почему при одновременном обращении \
    возникает взаимная блокировка, а затем предложите исправление.";
const SCRIPT: &str = r#"!function(e,t){"use strict";"object"==typeof module&&"object"==typeof module.exports?module.exports=e.document?t(e,!0):function(e){if(!e.document)throw new Error("a window with a document is needed");return t(e)}:t(e)}("undefined"!=typeof window?window:this,function(n,r){var i=[],o=Object.getPrototypeOf,a=i.slice,s=i.flat?function(e){return i.flat.call(e)}:function(e){return i.concat.apply([],e)};for(var u=0,l=i.length;u<l;u++){var c=i[u]||{};c.nodeType&&1===c.nodeType?a.push(c):null!=c&&(s[u]=(c.x<<2)|0x1f)}return{v:"3.7.1",each:function(e,t){for(var n=0;n<e.length&&!1!==t.call(e[n],n,e[n]);n++);return e}}});"#;
const MIXED: &str = "Der Größenvergleich schlägt fehl 😀: `fn größe(x: &str) -> usize` → 0xFF_FF, see https://example.org/a?b=c#d. 🚀";

/// The bounds that the estimate keeps on everyday text.
const LOW: f64 = 0.9;
const HIGH: f64 = 1.6;

fn json() -> String {
    let mut out = String::from("[");
    for n in 0..40 {
        let _ = write!(
            out,
            r#"{{"id":{n},"name":"user{n}","email":"u{n}@example.com","roles":["admin","dev"],"createdAt":"2026-11-22T07:00:00Z","score":0.{},"ok":true,"none":null}},"#,
            n * 7_919 % 1_000
        );
    }
    out + "{}]"
}

/// Random bytes as base64 shows them.
fn base64() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(ALPHABET[(state >> 58) as usize])
    };
    (0..4_000).map(|_| next()).collect()
}

fn indentation() -> String {
    (0..200).map(|n| format!("{}x\n", " ".repeat(n * 7 % 40))).collect::<String>()
        + &"\n".repeat(100)
        + &" ".repeat(1_000)
}

#[test]
fn the_estimate_is_near_a_real_tokenizer() {
    let real = tiktoken_rs::o200k_base_singleton();
    let (json, base64, indentation) = (json(), base64(), indentation());
    let rust = include_str!("../fit.rs");
    let own = [("rust", rust), ("toml", include_str!("../catalogue.toml"))];
    let written = [
        ("english", ENGLISH),
        ("chinese", CHINESE),
        ("russian", RUSSIAN),
        ("script", SCRIPT),
        ("mixed", MIXED),
    ];
    let made = [("json", json.as_str()), ("base64", &base64), ("indentation", &indentation)];
    let mut all = String::new();
    for (name, text) in own.into_iter().chain(written).chain(made) {
        let (counted, estimated) = (real.encode_ordinary(text).len(), estimate(text));
        let ratio = f64::from(estimated) / counted as f64;
        assert!((LOW..=HIGH).contains(&ratio), "{name}: {estimated} for {counted}, {ratio:.2}");
        all.push_str(text);
    }
    let ratio = f64::from(estimate(&all)) / real.encode_ordinary(&all).len() as f64;
    assert!((1.0..=1.3).contains(&ratio), "all of it: {ratio:.2}");
}

#[test]
fn nothing_is_free_but_nothing() {
    assert_eq!(estimate(""), 0);
    for text in ["a", "\n", "\t\t", "7", "中", "я", "😀", "\u{0}", "ก"] {
        assert!(estimate(text) >= 1, "{text:?}");
    }
}

proptest! {
    #[test]
    fn a_text_costs_about_what_its_parts_do(first in "\\PC{0,200}", second in "\\PC{0,200}") {
        let (one, two) = (estimate(&first), estimate(&second));
        let both = estimate(&format!("{first}{second}"));
        prop_assert!(both <= one + two + 8, "{} {} {}", one, two, both);
        prop_assert!(u64::from(both) <= 3 * (first.len() + second.len()) as u64 + 1);
    }
}
