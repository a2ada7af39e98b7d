//! Every documented refusal of every make, and then anything at all.

use std::time::Duration;

use proptest::prelude::*;

use super::FailureClass::*;
use super::*;

/// 2026-11-22 07:00:00 UTC.
const NOW: UtcMillis = UtcMillis(1_795_330_800_000);

fn check(dialect: Dialect, table: &[(u16, &str, FailureClass, Option<&str>)]) {
    for (status, body, class, code) in table {
        let cause = classify(dialect, *status, &HeaderMap::new(), body.as_bytes(), NOW);
        assert_eq!((cause.class, cause.code.as_deref()), (*class, *code), "{dialect:?} {status} {body}");
    }
}

fn kimi(kind: &str, message: &str) -> String {
    format!(r#"{{"error":{{"message":"{message}","type":"{kind}"}}}}"#)
}

#[test]
fn kimi_refusals() {
    let invalid = "invalid_request_error";
    for (status, kind, message, class) in [
        (
            400,
            "content_filter",
            "The request was rejected because it was considered high risk",
            ContentPolicy,
        ),
        (400, invalid, "invalid temperature: only 1 is allowed for this model", Rejected),
        (400, invalid, "tool_choice 'required' is incompatible with thinking enabled", Rejected),
        (400, invalid, "invalid thinking: only type=enabled is allowed for this model", Rejected),
        (400, invalid, "the message at position 1 with role 'assistant' must not be empty", Rejected),
        (400, invalid, "tool_call_id  is not found", Rejected),
        (400, invalid, "Invalid request: Your request exceeded model token limit : 262144", TooLong),
        (400, invalid, "Input token length too long", TooLong),
        (400, invalid, "total message size 3000000 exceeds limit 2097152", TooLong),
        (400, invalid, "File size is zero, please confirm and re-upload the file", Rejected),
        (401, "invalid_authentication_error", "Invalid Authentication", Key),
        (401, "incorrect_api_key_error", "Incorrect API key provided", Key),
        (403, "permission_denied_error", "The API you are accessing is not open", Key),
        (404, "resource_not_found_error", "Not found the model X or Permission denied", UnknownModel),
        (413, invalid, "Request exceeds the maximum size", TooLong),
        (429, "engine_overloaded_error", "The engine is currently overloaded, please try again later", Busy),
        (429, "rate_limit_reached_error", "Your account {org}<{ak}> request reached max RPM: 3", Busy),
        (429, "rate_limit_reached_error", "TPM rate limit, current:5, limit:4", Busy),
        (429, "rate_limit_reached_error", "TPD rate limit,current:5, limit:4", Quota),
        (
            429,
            "exceeded_current_quota_error",
            "suspended due to insufficient balance, please recharge",
            Quota,
        ),
        (499, "client_closed_request", "x", Server),
        (500, "server_error", "Failed to extract file: x", Server),
        (500, "unexpected_output", "invalid state transition", Server),
        (503, "server_unavailable", "x", Server),
    ] {
        check(Dialect::Kimi, &[(status, &kimi(kind, message), class, Some(kind))]);
    }
    let html = "<html><head><title>504 Gateway Time-out</title></head></html>";
    check(Dialect::Kimi, &[(504, html, Server, None), (401, "", Key, None), (302, "", Garbage, None)]);
    let message = "request reached organization max concurrency: 1, please try again after 4 seconds";
    let busy = kimi("rate_limit_reached_error", message);
    let cause = classify(Dialect::Kimi, 429, &HeaderMap::new(), busy.as_bytes(), NOW);
    assert_eq!(cause.retry_after, Some(Duration::from_secs(4)));
}

#[test]
fn glm_refusals() {
    for (status, code, class) in [
        (401, 1000, Key),
        (401, 1004, Key),
        (400, 1110, Key),
        (429, 1113, Quota),
        (400, 1210, Rejected),
        (400, 1211, UnknownModel),
        (400, 1214, Rejected),
        (400, 1220, UnknownModel),
        (400, 1261, TooLong),
        (400, 1301, ContentPolicy),
        (500, 1230, Server),
        (400, 1231, Rejected),
        (400, 1234, Server),
        (429, 1302, Busy),
        (429, 1303, Busy),
        (429, 1304, Quota),
        (429, 1305, Busy),
        (429, 1308, Quota),
        (429, 1309, Quota),
        (429, 1310, Quota),
        (429, 1311, UnknownModel),
        (429, 1312, Busy),
        (429, 1313, Quota),
        (429, 1316, Quota),
        (429, 1999, Busy),
    ] {
        let word = code.to_string();
        let text = format!(r#"{{"error":{{"code":"{code}","message":"m"}},"request_id":"r"}}"#);
        let number = format!(r#"{{"error":{{"code":{code},"message":"m"}}}}"#);
        let other = format!(
            r#"{{"type":"error","error":{{"type":"rate_limit_error","code":"{code}","message":"m"}}}}"#
        );
        for body in [text, number] {
            check(Dialect::Glm, &[(status, &body, class, Some(&word))]);
        }
        if code != 1999 {
            check(Dialect::Glm, &[(status, &other, class, Some(&word))]);
        }
    }
    check(Dialect::Glm, &[(434, "", Key, None), (435, "", Rejected, None), (500, "", Server, None)]);
    let body = r#"{"error":{"code":"1308","message":"Usage limit reached for 5 hour. Your limit will reset at 2026-11-22 16:00:00"}}"#;
    let cause = classify(Dialect::Glm, 429, &HeaderMap::new(), body.as_bytes(), NOW);
    assert_eq!(cause.retry_after, Some(Duration::from_secs(3600)));
}

#[test]
fn refusals_of_the_others() {
    check(
        Dialect::OpenAi,
        &[
            (
                429,
                r#"{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
                Quota,
                Some("insufficient_quota"),
            ),
            (
                429,
                r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#,
                Busy,
                Some("rate_limit_exceeded"),
            ),
            (
                401,
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"invalid_api_key"}}"#,
                Key,
                Some("invalid_api_key"),
            ),
            (
                404,
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"model_not_found"}}"#,
                UnknownModel,
                Some("model_not_found"),
            ),
            (
                400,
                r#"{"error":{"message":"m","code":"context_length_exceeded"}}"#,
                TooLong,
                Some("context_length_exceeded"),
            ),
            (
                400,
                r#"{"error":{"message":"m","code":"content_filter","status":400}}"#,
                ContentPolicy,
                Some("content_filter"),
            ),
            (
                402,
                r#"{"error":{"message":"Insufficient Balance","type":"unknown_error"}}"#,
                Quota,
                Some("unknown_error"),
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"m","metadata":{"raw":"the prompt"}}}"#,
                Busy,
                Some("429"),
            ),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens","type":"BadRequestError","code":400}"#,
                TooLong,
                Some("BadRequestError"),
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#,
                Key,
                Some("INVALID_ARGUMENT"),
            ),
            (
                422,
                r#"{"detail":[{"loc":["body"],"msg":"Extra inputs are not permitted","type":"extra"}]}"#,
                Rejected,
                None,
            ),
            (422, r#"{"detail":"no"}"#, Rejected, None),
            (
                503,
                r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
                Server,
                Some("unavailable_error"),
            ),
            (498, "", Busy, None),
            (
                400,
                r#"{"error":{"message":"m","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"x"}}"#,
                Rejected,
                Some("tool_use_failed"),
            ),
            (400, r#"{"error":"plain text"}"#, Rejected, None),
            (
                404,
                r#"{"error":{"message":"model 'x' not found","type":"api_error"}}"#,
                UnknownModel,
                Some("api_error"),
            ),
            (408, "", Timeout, None),
            (529, "", Server, None),
            (200, r#"{"error":{"message":"m"}}"#, Server, None),
        ],
    );
}

#[test]
fn prose_in_the_place_of_a_code_is_dropped() {
    let body = r#"{"error":{"message":"m","type":"You said: my secret","code":"my secret"}}"#;
    check(Dialect::OpenAi, &[(400, body, Rejected, None)]);
}

proptest! {
    #[test]
    fn no_body_panics(
        status in 100u16..=999,
        body in prop_oneof![
            "\\PC{0,60}",
            Just("{\"error\":".to_owned()),
            "\\{\"error\":\\{\"code\":(\"[0-9]{1,12}\"|[0-9]{1,25}|null),\"message\":\"(again (in|after)|reset at) ?[0-9msh.: -]{0,24}\"\\}\\}",
        ],
    ) {
        for dialect in [Dialect::Kimi, Dialect::Glm, Dialect::OpenAi] {
            let cause = classify(dialect, status, &HeaderMap::new(), body.as_bytes(), NOW);
            let plain = |code: &String| code.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
            prop_assert!(cause.code.as_ref().is_none_or(plain));
        }
    }
}
