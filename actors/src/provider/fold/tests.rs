//! Streams as the makes were seen to send them, and every way in which one can go wrong.

use proptest::prelude::*;

use super::*;
use crate::provider::sse::{Decoder, Stop};

const NOW: UtcMillis = UtcMillis(1_795_330_800_000);

type Outcome = Result<(Folded, Option<Usage>, Option<String>), (FailureClass, Option<String>, String)>;

fn run(dialect: Dialect, pieces: &[&[u8]]) -> Outcome {
    let mut fold = Fold::new(dialect, 100);
    let mut decoder = Decoder::default();
    let mut read = || -> Result<(), Cause> {
        let mut each = |payload: &[u8]| fold.push(payload, NOW);
        let stopped = |stop| match stop {
            Stop::TooLong => Cause::of(FailureClass::Garbage),
            Stop::Refused(cause) => cause,
        };
        for piece in pieces {
            decoder.push(piece, &mut each).map_err(stopped)?;
        }
        decoder.finish(&mut each).map_err(|_| Cause::of(FailureClass::BrokenStream))
    };
    let read = read();
    match read.and_then(|()| fold.conclude()) {
        Ok(folded) => Ok((folded, fold.usage(), fold.model().map(str::to_owned))),
        Err(cause) => Err((cause.class, cause.code, fold.text().to_owned())),
    }
}

fn stream(payloads: &[&str]) -> String {
    payloads.iter().map(|payload| format!("data: {payload}\n\n")).collect()
}

fn answer(text: &str, finish: Finish) -> Folded {
    Folded { text: text.to_owned(), finish }
}

const KIMI: [&str; 7] = [
    r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"kimi-k3","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
    r#"{"model":"kimi-k3","choices":[{"index":0,"delta":{"reasoning_content":"The"},"finish_reason":null}]}"#,
    r#"{"model":"kimi-k3","choices":[{"index":0,"delta":{"reasoning_content":""},"finish_reason":null}]}"#,
    r#"{"model":"kimi-k3","choices":[{"index":0,"delta":{"content":"O\"中"},"finish_reason":null}]}"#,
    r#"{"model":"kimi-k3","choices":[{"index":0,"delta":{"content":"😀K"},"finish_reason":null}]}"#,
    r#"{"model":"kimi-k3","choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":90,"completion_tokens":34,"total_tokens":124,"cached_tokens":64,"completion_tokens_details":{"reasoning_tokens":17}}}]}"#,
    "[DONE]",
];

#[test]
fn a_kimi_stream() {
    let usage = Usage { prompt: 90, cached: 64, completion: 34, reasoning: 17 };
    let expected = Ok((answer("O\"中😀K", Finish::Stop), Some(usage), Some("kimi-k3".to_owned())));
    assert_eq!(run(Dialect::Kimi, &[stream(&KIMI).as_bytes()]), expected);
    let trailing = r#"{"model":"kimi-k3","choices":[],"usage":{"prompt_tokens":90,"completion_tokens":34,"prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":17}}}"#;
    let mut with_trailer = KIMI.to_vec();
    with_trailer.insert(6, trailing);
    assert_eq!(run(Dialect::Kimi, &[stream(&with_trailer).as_bytes()]), expected);
    assert_eq!(run(Dialect::Kimi, &[stream(&KIMI[..6]).as_bytes()]), expected, "a finish reason suffices");
}

#[test]
fn a_glm_stream() {
    let body = stream(&[
        r#"{"id":"1","created":1,"model":"glm-4.7","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"The"}}]}"#,
        r#"{"id":"1","created":1,"model":"glm-4.7","choices":[{"index":0,"delta":{"role":"assistant","content":"I"}}]}"#,
        r#"{"id":"1","created":1,"model":"glm-4.7","choices":[{"index":0,"finish_reason":"length","delta":{"role":"assistant","content":""}}],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}}}"#,
        "[DONE]",
    ]);
    let usage = Usage { prompt: 2, cached: 1, completion: 3, reasoning: 0 };
    let expected = Ok((answer("I", Finish::Length), Some(usage), Some("glm-4.7".to_owned())));
    assert_eq!(run(Dialect::Glm, &[body.as_bytes()]), expected);
}

#[test]
fn streams_of_the_others() {
    for (payloads, expected) in [
        // Azure's first chunk, Groq's usage, OpenRouter's reasoning.
        (
            vec![
                r#"{"choices":[],"prompt_filter_results":[{}],"usage":null}"#,
                r#"{"choices":[{"delta":{"reasoning":"r","reasoning_details":[{}]}}]}"#,
                r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"eos"}],"x_groq":{"usage":{"prompt_tokens":1,"completion_tokens":2}}}"#,
            ],
            (
                answer("a", Finish::Other("eos".to_owned())),
                Some(Usage { prompt: 1, cached: 0, completion: 2, reasoning: 0 }),
            ),
        ),
        // Usage that counts nothing, and an event without data.
        (
            vec![
                r#"{"choices":[{"delta":{"content":"c"}}],"usage":{"prompt_tokens":-1,"completion_tokens":"many"}}"#,
                " ",
                r#"{"choices":[{"delta":{},"finish_reason":"stop","usage":[]}],"usage":{"prompt_tokens":1000000000000}}"#,
            ],
            (answer("c", Finish::Stop), None),
        ),
        // Mistral's parts; a stream with [DONE] alone.
        (
            vec![
                r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"b"}]}}]}"#,
                r#"{"object":"keepalive"}"#,
                "[DONE]",
            ],
            (answer("b", Finish::Stop), None),
        ),
    ] {
        let (folded, usage) = expected;
        assert_eq!(run(Dialect::OpenAi, &[stream(&payloads).as_bytes()]), Ok((folded, usage, None)));
    }
}

#[test]
fn half_a_character_costs_no_answer() {
    let stop = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    for (content, expected) in [
        (r#"\ud83d\ude00 \\ud83d \n"#, "\u{1f600} \\ud83d \n"),
        (r#"a\ud83d"#, "a\u{FFFD}"),
        (r#"\ude00b\\"#, "\u{FFFD}b\\"),
        (r#"\ud83d\ud83d\ude00"#, "\u{FFFD}\u{1f600}"),
        ("\u{4e2d}\\ud83d\u{4e2d}", "\u{4e2d}\u{FFFD}\u{4e2d}"),
    ] {
        let chunk = format!(r#"{{"choices":[{{"delta":{{"content":"{content}"}}}}]}}"#);
        let outcome = run(Dialect::OpenAi, &[stream(&[&chunk, stop]).as_bytes()]);
        assert_eq!(outcome, Ok((answer(expected, Finish::Stop), None, None)), "{content}");
    }
    let cut = [
        &b"data: {\"choices\":[{\"delta\":{\"content\":\"x\xe4\xb8\"}}]}\n\n"[..],
        stream(&[stop]).as_bytes(),
    ]
    .concat();
    assert_eq!(run(Dialect::OpenAi, &[&cut]), Ok((answer("x\u{FFFD}", Finish::Stop), None, None)));
}

#[test]
fn another_choice_is_another_answer() {
    let body = stream(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"x"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"y"},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
    ]);
    let expected = Ok((answer("ab", Finish::Stop), None, None));
    assert_eq!(run(Dialect::OpenAi, &[body.as_bytes()]), expected);
}

#[test]
fn what_brings_an_answer_on_is_told_from_what_does_not() {
    let mut fold = Fold::new(Dialect::OpenAi, 100);
    for (payload, brings) in [
        (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, false),
        (r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#, true),
        (r#"{"choices":[{"delta":{"reasoning_content":""}}]}"#, false),
        (r#"{"choices":[{"delta":{"content":"a"}}]}"#, true),
        (r#"{"choices":[{"delta":{"content":[]}}]}"#, false),
        (r#"{"choices":[{"delta":{"content":null,"tool_calls":[{"index":0}]}}]}"#, true),
        (r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#, false),
        (r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, true),
        (r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, false),
        (r#"{"object":"keepalive"}"#, false),
        (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, true),
        (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, false),
    ] {
        let before = fold.brought();
        fold.push(payload.as_bytes(), NOW).unwrap();
        assert_eq!(fold.brought() > before, brings, "{payload}");
    }
}

#[test]
fn an_end_that_nobody_knows_is_no_end() {
    let other = |word: &str| Finish::Other(word.to_owned()).is_whole();
    assert!(Finish::Stop.is_whole() && other("eos") && other("tool_calls"));
    assert!(!Finish::Length.is_whole() && !other("insufficient_system_resource"));
}

#[test]
fn failures_inside_a_stream() {
    let text = r#"{"choices":[{"delta":{"content":"par"}}]}"#;
    let finish = |word: &str| format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{word}"}}]}}"#);
    let thought = r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#;
    for (payloads, class, code, partial) in [
        (vec![text.to_owned()], FailureClass::BrokenStream, None, "par"),
        (vec![], FailureClass::BrokenStream, None, ""),
        (vec![text.to_owned(), finish("sensitive")], FailureClass::ContentPolicy, Some("sensitive"), "par"),
        (vec![text.to_owned(), finish("network_error")], FailureClass::Server, Some("network_error"), "par"),
        (
            vec![finish("model_context_window_exceeded")],
            FailureClass::TooLong,
            Some("model_context_window_exceeded"),
            "",
        ),
        (vec![thought.to_owned(), finish("length")], FailureClass::OutputCap, Some("length"), ""),
        (vec![thought.to_owned(), finish("stop")], FailureClass::Garbage, Some("stop"), ""),
        (vec!["[DONE]".to_owned()], FailureClass::Garbage, None, ""),
        (
            vec![text.to_owned(), r#"{"error":{"message":"m","type":"server_error"}}"#.to_owned()],
            FailureClass::Server,
            Some("server_error"),
            "par",
        ),
        (
            vec![r#"{"error":{"message":"m","type":"rate_limit_reached_error"}}"#.to_owned()],
            FailureClass::Busy,
            Some("rate_limit_reached_error"),
            "",
        ),
        (
            vec![r#"{"error":{"code":1301,"message":"m"}}"#.to_owned()],
            FailureClass::ContentPolicy,
            Some("1301"),
            "",
        ),
        // vLLM's, and the data of an `event: error`; neither is hidden by the `[DONE]` behind it.
        (
            vec![
                text.to_owned(),
                r#"{"object":"error","message":"m","type":"server_error","code":500}"#.to_owned(),
                "[DONE]".to_owned(),
            ],
            FailureClass::Server,
            Some("500"),
            "par",
        ),
        (
            vec![text.to_owned(), r#"{"message":"m","code":"internal"}"#.to_owned(), "[DONE]".to_owned()],
            FailureClass::Server,
            Some("internal"),
            "par",
        ),
        (vec![r#"{"error":"words","choices":[]}"#.to_owned()], FailureClass::Server, None, ""),
        (vec![text.to_owned(), "{\"choices\":[{".to_owned()], FailureClass::Garbage, None, "par"),
        (vec!["not json".to_owned()], FailureClass::Garbage, None, ""),
    ] {
        let payloads = payloads.iter().map(String::as_str).collect::<Vec<_>>();
        let expected = Err((class, code.map(str::to_owned), partial.to_owned()));
        assert_eq!(run(Dialect::Glm, &[stream(&payloads).as_bytes()]), expected, "{payloads:?}");
    }
}

#[test]
fn an_endless_answer_ends_at_its_bound() {
    let mut fold = Fold::new(Dialect::OpenAi, 1);
    let chunk = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(1000));
    let pushed = (0..1000).find_map(|n| fold.push(chunk.as_bytes(), NOW).err().map(|cause| (n, cause.class)));
    assert_eq!(pushed, Some((65, FailureClass::Flood)));
    assert_eq!(fold.text().len(), 65_000);
}

#[test]
fn a_line_cut_in_the_middle_is_a_broken_stream() {
    let body = stream(&KIMI);
    let cut = body.find("O\\\"").unwrap();
    let outcome = run(Dialect::Kimi, &[&body.as_bytes()[..cut]]);
    assert_eq!(outcome, Err((FailureClass::BrokenStream, None, String::new())));
}

proptest! {
    #[test]
    fn any_split_gives_the_same_answer(cuts in prop::collection::vec(0usize..2000, 0..40), crlf: bool) {
        let mut body = stream(&KIMI);
        if crlf {
            body = body.replace('\n', "\r\n");
        }
        let bytes = body.as_bytes();
        let mut cuts = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect::<Vec<_>>();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect::<Vec<_>>();
        prop_assert_eq!(run(Dialect::Kimi, &pieces), run(Dialect::Kimi, &[bytes]));
    }

    #[test]
    fn any_text_comes_back_as_it_was_sent(texts in prop::collection::vec("\\PC{1,8}|[\n\t\"\\\\]{1,3}", 1..8)) {
        let mut body = String::new();
        for text in &texts {
            let chunk = serde_json::json!({"choices": [{"delta": {"content": text}}]});
            body += &format!("data: {chunk}\n\n");
        }
        body += "data: [DONE]\n\n";
        let whole = texts.concat();
        prop_assume!(!whole.trim().is_empty());
        prop_assert_eq!(run(Dialect::OpenAi, &[body.as_bytes()]), Ok((answer(&whole, Finish::Stop), None, None)));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), json in "data: [\\[\\]{}\":,a-z0-9]{0,80}\n\n") {
        let _ = run(Dialect::Kimi, &[&bytes]);
        let _ = run(Dialect::Glm, &[json.as_bytes()]);
    }
}
