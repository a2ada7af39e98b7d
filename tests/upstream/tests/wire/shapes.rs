//! The bytes each make sends when all is well.

use crate::support::{ask, chat};
use exai_upstream::{Make, Options, Upstream};
use serde_json::{Value, json};

/// A body with some members set.
fn with(mut body: Value, members: Value) -> Value {
    for (key, value) in members.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn a_kimi_stream_is_the_captured_one() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let body = with(
        ask(Make::Kimi, "tokens=2+think=2+pace=0", true),
        json!({"stream_options": {"include_usage": true}}),
    );
    let response = chat(&kimi, &body);
    assert!(response.head.contains("content-type: text/event-stream\r\n"), "{}", response.head);
    assert!(response.head.contains("msh-request-id: "), "{}", response.head);
    let chunks = response.chunks();
    let id = chunks[0]["id"].as_str().unwrap();
    let (created, model) = (&chunks[0]["created"], body["model"].as_str().unwrap());
    assert!(id.strip_prefix("chatcmpl-").is_some_and(|hex| hex.len() == 24), "{id}");
    let head = format!(
        r#"{{"id":"{id}","object":"chat.completion.chunk","created":{created},"model":"{model}","choices":["#
    );
    let choice = |delta: &str| format!(r#"{head}{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#);
    let usage = r#"{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"completion_tokens_details":{"reasoning_tokens":2}}"#;
    let wanted = [
        choice(r#"{"role":"assistant","content":""}"#),
        choice(r#"{"reasoning_content":"First, "}"#),
        choice(r#"{"reasoning_content":"the "}"#),
        choice(r#"{"reasoning_content":""}"#),
        choice(r#"{"content":"This "}"#),
        choice(r#"{"content":"is"}"#),
        format!(r#"{head}{{"index":0,"delta":{{}},"finish_reason":"stop","usage":{usage}}}]}}"#),
        format!(r#"{head}],"usage":{usage}}}"#),
        "[DONE]".to_owned(),
    ];
    let bytes: String = wanted.iter().map(|line| format!("data: {line}\n\n")).collect();
    assert_eq!(response.text(), bytes);

    let unasked = chat(&kimi, &ask(Make::Kimi, "tokens=2+pace=0", true));
    assert!(unasked.chunks().iter().all(|chunk| chunk.get("usage").is_none()));
    assert!(unasked.chunks().last().unwrap().pointer("/choices/0/usage").is_some());
}

#[test]
fn a_glm_stream_is_the_captured_one() {
    let glm = Upstream::start(Make::Glm).unwrap();
    let body = ask(Make::Glm, "tokens=2+think=1+pace=0", true);
    let response = chat(&glm, &body);
    assert!(response.head.contains("content-type: text/event-stream;charset=UTF-8\r\n"), "{}", response.head);
    let chunks = response.chunks();
    let id = chunks[0]["id"].as_str().unwrap();
    assert!(id.len() == 30 && id[..14].bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    let (created, model) = (&chunks[0]["created"], body["model"].as_str().unwrap());
    let head = format!(
        r#"{{"id":"{id}","created":{created},"object":"chat.completion.chunk","model":"{model}","choices":["#
    );
    let choice = |delta: &str| format!(r#"{head}{{"index":0,"delta":{{"role":"assistant",{delta}}}}}]}}"#);
    let last = r#"{"index":0,"finish_reason":"stop","delta":{"role":"assistant","content":""}}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":1}}}"#;
    let wanted = [
        choice(r#""reasoning_content":"First, ""#),
        choice(r#""content":"This ""#),
        choice(r#""content":"is""#),
        format!("{head}{last}"),
        "[DONE]".to_owned(),
    ];
    let bytes: String = wanted.iter().map(|line| format!("data: {line}\n\n")).collect();
    assert_eq!(response.text(), bytes);
}

#[test]
fn an_openai_stream_has_usage_only_when_asked() {
    let openai = Upstream::start(Make::OpenAi).unwrap();
    let plain = chat(&openai, &ask(Make::OpenAi, "tokens=2+pace=0", true));
    assert!(!plain.text().contains("usage"));
    let asked =
        with(ask(Make::OpenAi, "tokens=2+pace=0", true), json!({"stream_options": {"include_usage": true}}));
    let chunks = chat(&openai, &asked).chunks();
    assert!(chunks[0]["usage"].is_null() && chunks[0].get("usage").is_some());
    let last = chunks.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(11)));
}

#[test]
fn the_same_text_comes_streamed_and_whole_and_again() {
    for make in Make::ALL {
        let (first, second) = (Upstream::start(make).unwrap(), Upstream::start(make).unwrap());
        let body = ask(make, "pace=0+think=2", true);
        let streamed = chat(&first, &body);
        let content = streamed.joined("content");
        assert!(
            content.contains("“Why is the sky blue?”") && content.contains("I have seen 1 message."),
            "{content}"
        );
        assert!(content.ends_with('.'), "{content}");
        assert_eq!(chat(&second, &body).joined("content"), content);
        let seeded = Upstream::start_with(make, Options { seed: 1, ..Options::default() }).unwrap();
        assert_ne!(chat(&seeded, &body).joined("content"), content);

        let whole = chat(&first, &ask(make, "pace=0+think=2", false)).json();
        let message = &whole["choices"][0]["message"];
        assert!(message["content"].as_str().unwrap().starts_with("This is the double of"), "{whole}");
        assert_eq!(message["reasoning_content"], json!("First, the "));
        let usage = &whole["usage"];
        let number = |key: &str| usage[key].as_u64().unwrap();
        assert_eq!(number("prompt_tokens") + number("completion_tokens"), number("total_tokens"));
        assert_eq!(usage.pointer("/completion_tokens_details/reasoning_tokens"), Some(&json!(2)));
    }
}

#[test]
fn lines_bend_and_tear_as_scripted_and_mean_the_same() {
    for make in Make::ALL {
        let upstream = Upstream::start(make).unwrap();
        let text = |script: &str| {
            let body = with(ask(make, "", true), json!({"request_id": "same-for-all"}));
            upstream.push_script(exai_upstream::Script::of(script));
            let response = chat(&upstream, &body);
            assert!(response.whole, "{script}");
            assert_eq!(response.data().last().unwrap() == "[DONE]", !script.contains("no-done"), "{script}");
            response.joined("content")
        };
        let plain = text("pace=0");
        for script in [
            "crlf",
            "no-space",
            "comments",
            "split=1",
            "split=7",
            "split=4096",
            "no-done",
            "split=3+crlf+comments+no-space",
        ] {
            assert_eq!(text(&format!("pace=0+{script}")), plain, "{script}");
        }
    }
}

#[test]
fn a_cap_cuts_reasoning_first_and_says_length() {
    let glm = Upstream::start(Make::Glm).unwrap();
    let eaten = chat(&glm, &with(ask(Make::Glm, "think=9+pace=0", true), json!({"max_tokens": 5})));
    assert_eq!(eaten.joined("content"), "");
    let last = eaten.chunks().pop().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert_eq!((&last["usage"]["completion_tokens"], eaten.chunks().len()), (&json!(5), 6));
}

#[test]
fn tools_are_called_in_the_make_s_way() {
    for (make, id) in [(Make::Kimi, "functions.add:0"), (Make::Glm, "call_-"), (Make::OpenAi, "call_")] {
        let upstream = Upstream::start(make).unwrap();
        let chunks = chat(&upstream, &ask(make, "tool=add+pace=0", true)).chunks();
        let calls: Vec<&Value> =
            chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0")).collect();
        assert!(calls[0]["id"].as_str().unwrap().starts_with(id), "{}", calls[0]);
        assert_eq!(calls.len() == 1, make == Make::Glm);
        let arguments: String =
            calls.iter().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
        let parsed: Value = serde_json::from_str(&arguments).unwrap();
        assert_eq!(parsed["text"], "naïve \"café\" 月".replace('"', "").replace("café", "\"café\""));
        let finish = chunks.iter().find_map(|chunk| chunk.pointer("/choices/0/finish_reason")?.as_str());
        assert_eq!(finish, Some("tool_calls"));
    }
}

#[test]
fn a_repeated_long_prefix_is_cached_in_blocks() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let body = json!({"model": "kimi-k2.6+tokens=1", "messages": [{"role": "user", "content": "word ".repeat(600)}]});
    let first = chat(&kimi, &body).json();
    assert!(first["usage"].get("cached_tokens").is_none());
    let usage = chat(&kimi, &body).json()["usage"].clone();
    assert_eq!(usage["cached_tokens"], 512);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 512);
}

#[test]
fn echo_shows_the_request() {
    let glm = Upstream::start(Make::Glm).unwrap();
    let body = json!({"model": "glm-5.2+echo+pace=0", "stream": true, "temperature": 0.5, "messages": [
        {"role": "system", "content": "be brief"}, {"role": "user", "content": "naïve?"},
        {"role": "assistant", "content": "yes"}, {"role": "user", "content": [{"type": "text", "text": "月"}]}]});
    let seen: Value = serde_json::from_str(&chat(&glm, &body).joined("content")).unwrap();
    assert_eq!(seen["texts"], json!(["be brief", "naïve?", "yes", "月"]));
    assert_eq!(seen["parameters"], json!({"stream": true, "temperature": 0.5}));
}
