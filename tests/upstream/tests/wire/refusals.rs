//! Documented errors by name.

use crate::support::{ask, chat};
use exai_upstream::{Make, Upstream};
use serde_json::{Value, json};

fn refused(upstream: &Upstream, script: &str) -> (u16, String) {
    let response = chat(upstream, &ask(upstream.make(), script, true));
    (response.status, response.text())
}

#[test]
fn kimi_s_errors_are_the_documented_ones() {
    let kimi = Upstream::start(Make::Kimi).unwrap();
    for (name, status, kind, message) in [
        ("content_filter", 400, "content_filter", "high risk"),
        ("invalid_temperature", 400, "invalid_request_error", "only 1 is allowed"),
        ("too_long", 400, "invalid_request_error", "exceeded model token limit : 262144"),
        ("auth", 401, "invalid_authentication_error", "Invalid Authentication"),
        ("incorrect_key", 401, "incorrect_api_key_error", "Incorrect API key provided"),
        ("permission", 403, "permission_denied_error", "not open"),
        ("not_found", 404, "resource_not_found_error", "Not found the model kimi-k2.6 or Permission denied"),
        ("too_large", 413, "invalid_request_error", "Request exceeds the maximum size"),
        ("overloaded", 429, "engine_overloaded_error", "currently overloaded"),
        (
            "concurrency",
            429,
            "rate_limit_reached_error",
            "max concurrency: 1, please try again after 1 seconds",
        ),
        ("rpm+wait=7", 429, "rate_limit_reached_error", "max RPM: 3, please try again after 7 seconds"),
        ("tpm", 429, "rate_limit_reached_error", "TPM rate limit, current:500001, limit:500000"),
        ("tpd", 429, "rate_limit_reached_error", "TPD rate limit,current:"),
        ("quota", 429, "exceeded_current_quota_error", "current token quota"),
        ("balance", 429, "exceeded_current_quota_error", "suspended due to insufficient balance"),
        ("client_closed", 499, "client_closed_request", ""),
        ("server_error", 500, "server_error", ""),
        ("unexpected_output", 500, "unexpected_output", "invalid state transition"),
        ("unavailable", 503, "server_unavailable", ""),
    ] {
        let (got, body) = refused(&kimi, &format!("refuse={name}"));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((got, &body["error"]["type"]), (status, &json!(kind)), "{name}");
        assert!(body["error"]["message"].as_str().unwrap().contains(message), "{name}: {body}");
        assert!(body["error"].get("code").is_none());
    }
    let (status, page) = refused(&kimi, "refuse=gateway_html");
    assert!(status == 504 && page.starts_with("<html>") && page.contains("504 Gateway Time-out"));
    assert_eq!(refused(&kimi, "refuse=empty_401"), (401, String::new()));
    assert_eq!(refused(&kimi, "refuse=nonsense").0, 500);
    let hinted = chat(&kimi, &ask(Make::Kimi, "refuse=rate_limit+retry-after=3", true));
    assert!(hinted.head.contains("retry-after: 3"), "{}", hinted.head);
    let plain = chat(&kimi, &ask(Make::Kimi, "refuse=rate_limit", true));
    assert!(!plain.head.contains("retry-after"));
    let moved = chat(&kimi, &ask(Make::Kimi, "redirect=http://127.0.0.1:1/", true));
    assert!(moved.status == 302 && moved.head.contains("location: http://127.0.0.1:1/"));
}

#[test]
fn glm_s_codes_are_strings_unless_switched() {
    let glm = Upstream::start(Make::Glm).unwrap();
    for (code, status) in [
        (1000, 401),
        (1004, 401),
        (1112, 403),
        (1113, 429),
        (1210, 400),
        (1211, 400),
        (1215, 400),
        (1222, 400),
        (1230, 500),
        (1231, 400),
        (1234, 500),
        (1261, 400),
        (1301, 400),
        (1302, 429),
        (1303, 429),
        (1304, 429),
        (1305, 429),
        (1308, 429),
        (1309, 429),
        (1310, 429),
        (1311, 429),
        (1312, 429),
        (1313, 429),
        (1314, 429),
        (1321, 429),
        (434, 434),
        (500, 500),
    ] {
        let (got, body) = refused(&glm, &format!("refuse={code}"));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((got, &body["error"]["code"]), (status, &json!(code.to_string())), "{body}");
        let (_, body) = refused(&glm, &format!("refuse={code}+int-code"));
        assert!(body.contains(&format!("\"code\":{code},")), "{body}");
    }
    let (_, reset) = refused(&glm, "refuse=1308");
    assert!(reset.contains("Your limit will reset at 20"), "{reset}");
}

#[test]
fn compatible_servers_err_in_many_shapes() {
    let openai = Upstream::start(Make::OpenAi).unwrap();
    let shape = |name: &str, status: u16| {
        let (got, body) = refused(&openai, &format!("refuse={name}"));
        assert_eq!(got, status, "{name}: {body}");
        serde_json::from_str::<Value>(&body).unwrap_or(Value::Null)
    };
    assert_eq!(shape("flat", 400)["object"], "error");
    assert!(shape("array", 400)[0]["error"]["message"].is_string());
    assert!(shape("detail", 422)["detail"].is_array());
    assert!(shape("error_text", 500)["error"].is_string());
    assert_eq!(shape("quota", 429)["error"]["code"], "insufficient_quota");
    for (name, status) in
        [("payment", 402), ("unprocessable", 422), ("capacity", 498), ("overloaded", 529), ("418", 418)]
    {
        assert!(shape(name, status)["error"]["message"].is_string());
    }
    for (name, status) in [("html", 502), ("empty", 503)] {
        assert!(shape(name, status).is_null());
    }
}
