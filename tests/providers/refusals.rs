//! Every refusal that the doubles can give.

use std::io::{Read, Write};
use std::net::TcpStream;

use exai_upstream::{Make, Script, Upstream};
use serde_json::{Value, json};

use crate::client::Client;
use crate::database::Database;
use crate::server::Server;

/// Stands in every prompt, and in no error.
const PROMPT: &str = "a prompt that nobody may quote";
/// Texts of an upstream's body that are at least this long are prose, not names.
const PROSE_CHARS_MIN: usize = 12;

const KIMI: &[(&str, &[&str])] = &[
    (
        "upstream_rejected",
        &[
            "content_filter",
            "invalid_temperature",
            "invalid_temperature_off",
            "tool_choice",
            "invalid_thinking",
            "reasoning_missing",
            "empty_message",
            "tool_call_id",
            "schema",
            "file_purpose",
            "file_size",
            "file_empty",
            "file_count",
            "auth",
            "incorrect_key",
            "permission",
            "permission_user",
            "tpd",
            "balance",
            "quota",
            "empty_401",
            "402",
            "422",
        ],
    ),
    ("too_large", &["too_long", "input_too_long", "total_size", "too_large"]),
    ("unknown_model", &["not_found"]),
    ("rate_limited", &["overloaded", "rate_limit", "concurrency", "rpm", "tpm"]),
    (
        "upstream_error",
        &[
            "client_closed",
            "server_error",
            "unexpected_output",
            "unavailable",
            "gateway_html",
            "bad_gateway_html",
            "empty",
            "503",
            "599",
        ],
    ),
];

const GLM: &[(&str, &[&str])] = &[
    (
        "upstream_rejected",
        &[
            "1000",
            "1001",
            "1002",
            "1003",
            "1004",
            "1110",
            "1111",
            "1112",
            "1113",
            "1120",
            "1121",
            "1210",
            "1212",
            "1213",
            "1214",
            "1215",
            "1231",
            "1300",
            "1301",
            "1304",
            "1308",
            "1309",
            "1310",
            "1313",
            "1314",
            "1316",
            "1317",
            "1318",
            "1319",
            "1320",
            "1321",
            "434",
            "435",
            "empty_401",
        ],
    ),
    ("too_large", &["1261"]),
    ("unknown_model", &["1211", "1220", "1221", "1222", "1311"]),
    ("rate_limited", &["1302", "1302+int-code", "1303", "1305", "1312"]),
    ("upstream_error", &["1230", "1234", "500", "gateway_html", "bad_gateway_html", "empty"]),
];

const OTHERS: &[(&str, &[&str])] = &[
    (
        "upstream_rejected",
        &[
            "auth",
            "permission",
            "content_filter",
            "payment",
            "balance",
            "quota",
            "unprocessable",
            "flat",
            "array",
            "detail",
            "detail_text",
            "tool_use_failed",
            "empty_401",
        ],
    ),
    ("too_large", &["too_long"]),
    ("unknown_model", &["not_found"]),
    ("rate_limited", &["rate_limit", "concurrency", "capacity", "raw_metadata"]),
    (
        "upstream_error",
        &[
            "overloaded",
            "server_error",
            "unavailable",
            "error_text",
            "loading",
            "html",
            "gateway_html",
            "empty",
        ],
    ),
];

#[tokio::test]
async fn kimis_refusals_are_typed_and_not_passed_on() {
    check(Make::Kimi, "kimi-k2.6", KIMI).await;
}

#[tokio::test]
async fn glms_refusals_are_typed_and_not_passed_on() {
    check(Make::Glm, "glm-5.2", GLM).await;
}

#[tokio::test]
async fn other_servers_refusals_are_typed_and_not_passed_on() {
    check(Make::OpenAi, "double-1", OTHERS).await;
}

async fn check(make: Make, model: &str, table: &[(&str, &[&str])]) {
    let (double, db) = (Upstream::start(make).unwrap(), Database::sqlite());
    let server = Server::start(|with| {
        with.provider(&make.to_string(), &double).set("EXAI_STORAGE__URL", &db.url);
        with.set("EXAI_LIMITS__BURST", "1000");
        // A second is enough for a retry of our own choosing, and too short for most waits that an upstream names.
        with.set("EXAI_LIMITS__DEADLINE_S", "2");
        if make == Make::OpenAi {
            with.set("EXAI_PROVIDERS__OPENAI__MODELS", model);
        }
    })
    .await;
    let mut client = Client::connect(&server).await;
    let (mut asked, mut prose_seen) = (0, 0);
    for (kind, names) in table {
        for name in *names {
            let script = Script::of(&format!("refuse={name}"));
            let prose = prose_of(&double, model, &script);
            double.set_default(script);
            server.reset_breakers(&make.to_string()).await;
            let reply = client.call("chat", json!({ "prompt": PROMPT, "model": model })).await;
            asked += 1;
            prose_seen += prose.len();
            assert_eq!(reply.kind(), *kind, "{make} {name}: {}", reply.0);
            let shown = reply.0.to_string();
            assert!(!shown.contains(PROMPT), "{make} {name}: {shown}");
            for words in prose {
                assert!(!shown.contains(&words), "{make} {name} says {words:?}: {shown}");
            }
            assert!(
                reply.text().len() > 20 && reply.error()["call_id"].is_string(),
                "{make} {name}: {shown}"
            );
        }
    }
    let attempts = db.number("SELECT count(*) AS n FROM attempts").await;
    assert_eq!(
        double.journal().len(),
        asked + attempts as usize,
        "each was asked once by hand and then by a call"
    );
    assert!(attempts > asked as i64, "some of them pass, and were asked again");
    assert!(prose_seen > asked / 2, "there was prose to be kept back: {prose_seen} texts");
    client.until_at_rest().await;
    assert_eq!((db.states().await, db.open_rows().await), (vec!["failed".to_owned(); asked], 0));
    assert!(!server.output().contains(PROMPT));
}

/// What the double says with this script, asked by hand: its texts that are prose.
fn prose_of(double: &Upstream, model: &str, script: &Script) -> Vec<String> {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "p" }], "stream": true })
        .to_string();
    let path = double.base_url().split_once("/v1").map_or("/api/paas/v4", |_| "/v1");
    let mut socket = TcpStream::connect(double.addr()).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path}/chat/completions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer k\r\n",
        double.addr()
    );
    let rest =
        format!("X-Upstream-Script: {script}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    socket.write_all((head + &rest).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut texts = Vec::new();
    match serde_json::from_str::<Value>(body) {
        Ok(said) => collect(&said, &mut texts),
        Err(_) => texts.extend(body.split(['<', '>']).map(str::to_owned)),
    }
    texts.retain(|text| text.len() >= PROSE_CHARS_MIN && text.contains(' '));
    texts
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
