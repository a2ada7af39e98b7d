//! What each make refuses unasked: keys, models, parameters, histories; and the endpoints beside chat.

use crate::support::{ask, chat, send};
use exai_upstream::{Make, Options, Upstream};
use serde_json::{Value, json};

/// A request and what it is refused with.
type Case = (Value, u16, &'static str);

fn refuses(make: Make, cases: &[Case]) {
    let upstream = Upstream::start(make).unwrap();
    for (body, status, message) in cases {
        let response = chat(&upstream, body);
        let text = response.text();
        assert!(
            response.status == *status && text.contains(message),
            "{message}: {} {text}",
            response.status
        );
    }
    assert!(upstream.journal().iter().all(|entry| entry.completion_tokens == 0), "a refusal is not billed");
}

fn user() -> Value {
    json!([{"role": "user", "content": "hi"}])
}

#[test]
fn glm_refuses_what_z_ai_refuses() {
    let user = user();
    refuses(
        Make::Glm,
        &[
            (json!({"model": "glm-9", "messages": user}), 400, "Unknown Model, please check the model code."),
            (json!({"model": "glm-5.3", "messages": user, "thinking": {"type": "disabled"}}), 400, "1210"),
            (json!({"model": "glm-5.2", "messages": user, "max_tokens": 131_073}), 400, "[1,131072]"),
            (json!({"model": "glm-5.2", "messages": user, "max_tokens": 0}), 400, "[1,131072]"),
            (
                json!({"model": "glm-5.2", "messages": user, "temperature": 1.5}),
                400,
                "temperature is out of range",
            ),
            (json!({"model": "glm-5.2", "messages": [{"role": "system", "content": "x"}]}), 400, "1214"),
            (
                json!({"model": "glm-4.5v", "messages": [{"role": "user", "content": "x".repeat(300_000)}]}),
                400,
                "1261",
            ),
        ],
    );
}

#[test]
fn kimi_refuses_parameters_that_moonshot_refuses() {
    let user = user();
    let off = json!({"type": "disabled"});
    let mild = json!({"model": "kimi-k2.6", "messages": user, "temperature": 1, "thinking": off});
    refuses(
        Make::Kimi,
        &[
            (
                json!({"model": "kimi-k2.5", "messages": user}),
                404,
                "Not found the model kimi-k2.5 or Permission denied",
            ),
            (
                json!({"model": "kimi-k2.6", "messages": user, "temperature": 0.7}),
                400,
                "invalid temperature: only 1 is",
            ),
            (mild, 400, "invalid temperature: only 0.6 is"),
            (json!({"model": "kimi-k3", "messages": user, "n": 2}), 400, "invalid n: only 1 is"),
            (
                json!({"model": "kimi-k2.6", "messages": user, "tool_choice": "required"}),
                400,
                "incompatible with thinking",
            ),
            (json!({"model": "kimi-k2.7-code", "messages": user, "thinking": off}), 400, "invalid thinking"),
            (json!({"model": "kimi-k2.6+bogus", "messages": user}), 400, "bad upstream script"),
            (json!([]), 400, "not a JSON object"),
        ],
    );
    let fine = json!({"model": "kimi-k2.6+pace=0", "messages": user, "temperature": 1, "unknown": true, "max_tokens": 9});
    assert_eq!(chat(&Upstream::start(Make::Kimi).unwrap(), &fine).status, 200);
}

#[test]
fn kimi_refuses_histories_that_moonshot_refuses() {
    let user = user()[0].clone();
    let function = json!({"name": "f", "arguments": "{}"});
    let call = json!({"role": "assistant", "content": "", "tool_calls": [{"id": "a", "type": "function", "function": function}]});
    let empty = json!({"role": "assistant", "content": ""});
    let orphan = json!({"role": "tool", "tool_call_id": "b", "content": "x"});
    let position = "the message at position 1 with role 'assistant' must not be empty";
    let long = json!({"role": "user", "content": "x".repeat(1_100_000)});
    refuses(
        Make::Kimi,
        &[
            (
                json!({"model": "kimi-k3", "messages": [user, call]}),
                400,
                "missing in assistant tool call message at index 1",
            ),
            (json!({"model": "kimi-k3", "messages": [user, empty, user]}), 400, position),
            (json!({"model": "kimi-k3", "messages": [user, orphan]}), 400, "tool_call_id  is not found"),
            (json!({"model": "kimi-k2.6", "messages": [long]}), 400, "token limit : 262144"),
            (json!({"model": "kimi-k2.6", "messages": []}), 400, "must not be empty"),
        ],
    );
    let mut carried = call;
    carried["reasoning_content"] = json!("");
    let answer = json!({"role": "tool", "tool_call_id": "a", "content": "x"});
    let fine = json!({"model": "kimi-k3+pace=0", "messages": [user, carried, answer]});
    assert_eq!(chat(&Upstream::start(Make::Kimi).unwrap(), &fine).status, 200);
}

#[test]
fn a_search_call_must_come_back_verbatim() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let tools = json!([{"type": "builtin_function", "function": {"name": "$web_search"}}]);
    let thinking = json!({"type": "disabled"});
    let user = json!({"role": "user", "content": "news?"});
    let first =
        chat(&kimi, &json!({"model": "kimi-k2.6", "tools": tools, "thinking": thinking, "messages": [user]}))
            .json();
    let message = first["choices"][0]["message"].clone();
    let call = &message["tool_calls"][0];
    assert_eq!(
        (&first["choices"][0]["finish_reason"], &call["type"]),
        (&json!("tool_calls"), &json!("builtin_function"))
    );
    let round = |content: &Value| {
        let back =
            json!({"role": "tool", "tool_call_id": call["id"], "name": "$web_search", "content": content});
        chat(
            &kimi,
            &json!({"model": "kimi-k2.6", "tools": tools, "thinking": thinking, "messages": [user, message, back]}),
        )
    };
    assert_eq!(round(&json!("else")).status, 400);
    let second = round(&call["function"]["arguments"]).json();
    assert!(
        second["usage"]["prompt_tokens"].as_u64().unwrap() > 13_046
            && second["choices"][0]["finish_reason"] == "stop"
    );
}

#[test]
fn keys_and_concurrency_are_checked() {
    let options =
        Options { required_key: Some("sk-test".to_owned()), max_concurrency: Some(1), ..Options::default() };
    for (make, status, message) in [
        (Make::Kimi, 401, "Invalid Authentication"),
        (Make::Glm, 401, "\"1000\""),
        (Make::OpenAi, 401, "invalid_api_key"),
    ] {
        let own = Upstream::start_with(make, options.clone()).unwrap();
        let other = Upstream::start_with(
            make,
            Options { required_key: Some("sk-else".to_owned()), ..Options::default() },
        )
        .unwrap();
        let response = chat(&other, &ask(make, "", true));
        assert!(response.status == status && response.text().contains(message), "{}", response.text());
        let busy = crate::support::open(&own, &ask(make, "stall-after=1", true));
        assert!(
            own.wait_for(std::time::Duration::from_secs(2), |all| all
                .iter()
                .any(|entry| entry.sent_bytes > 0))
        );
        assert_eq!(chat(&own, &ask(make, "pace=0", true)).status, 429);
        drop(busy);
        assert!(own.wait_for(std::time::Duration::from_secs(2), |_| own.in_flight() == 0));
        assert_eq!(chat(&own, &ask(make, "pace=0", true)).status, 200);
    }
}

#[test]
fn files_live_until_they_are_deleted() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    let upload = |purpose: &str, bytes: &str| {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--b\r\nContent-Disposition: form-data; \
             name=\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf\r\n\r\n{bytes}\r\n--b--\r\n"
        );
        send(&kimi, "POST", "/files", "Content-Type: multipart/form-data; boundary=b\r\n", body.as_bytes())
    };
    let stored = upload("file-extract", "naïve text").json();
    assert_eq!((&stored["status"], &stored["bytes"]), (&json!("ok"), &json!(11)));
    let id = stored["id"].as_str().unwrap();
    let content = send(&kimi, "GET", &format!("/files/{id}/content"), "", b"");
    assert_eq!(
        content.json(),
        json!({"content": "naïve text", "file_type": "application/pdf", "filename": "a.pdf", "title": "", "type": "file"})
    );
    assert!(upload("file-extract", "").text().contains("File size is zero"));
    assert!(upload("else", "x").text().contains("Invalid purpose"));
    assert_eq!(send(&kimi, "GET", "/files", "", b"").json()["data"].as_array().unwrap().len(), 1);
    let pointed = json!({"model": "kimi-k2.6", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": format!("ms://{id}")}}]}]});
    assert_eq!(chat(&kimi, &pointed).status, 400);
    assert_eq!(send(&kimi, "DELETE", &format!("/files/{id}"), "", b"").json()["deleted"], true);
    assert_eq!((send(&kimi, "DELETE", &format!("/files/{id}"), "", b"").status, kimi.file_count()), (404, 0));
}
