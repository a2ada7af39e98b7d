//! Which type a client would rather have, and which headers say what the arguments say.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::{ErrorCode, JsonObject, Value, arguments_agree, prefers, takes};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

fn headers(all: &[(&str, &str)]) -> HeaderMap {
    let all = all.iter().map(|(name, value)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    all.collect()
}

#[test]
fn a_client_would_rather_have_what_it_weighs_more_or_names_first() {
    for (accept, rather_events) in [
        ("application/json, text/event-stream", false),
        ("text/event-stream, application/json", true),
        ("Text/Event-Stream;charset=utf-8 , */*", true),
        ("*/*", false),
        ("application/json;q=0.5, text/event-stream;q=0.51", true),
        ("text/event-stream;q=0.9, application/json", false),
        ("text/event-stream;q=0.1239, application/json;q=0.2", false),
        ("text/event-stream;q=0.1, application/json;q=0.09", true),
        ("text/event-stream;q=nonsense, application/json;q=0.9", true),
    ] {
        let headers = headers(&[("accept", accept)]);
        assert_eq!(prefers(&headers, EVENTS, JSON), rather_events, "{accept}");
        assert!(takes(&headers, EVENTS) && takes(&headers, JSON), "{accept}");
    }
    let mut apart = HeaderMap::new();
    apart.append(header::ACCEPT, HeaderValue::from_static(EVENTS));
    apart.append(header::ACCEPT, HeaderValue::from_static(JSON));
    assert!(prefers(&apart, EVENTS, JSON) && !prefers(&apart, JSON, EVENTS));
}

#[test]
fn an_argument_that_belongs_in_a_header_stands_there_once_as_it_is() {
    let schema = object(json!({ "type": "object", "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" },
        "count": { "type": "integer", "x-mcp-header": "Count" },
        "plain": { "type": "string" },
        "inner": { "type": "object", "properties": { "deep": { "type": "boolean", "x-mcp-header": "Deep" } } },
    } }));
    let right = "=?base64?SGVsbG8=?=";
    for (given, arguments, agrees) in [
        (vec![], json!({ "plain": "Hello" }), true),
        (vec![("mcp-param-region", "Hello")], json!({ "region": "Hello" }), true),
        (vec![("mcp-param-region", right)], json!({ "region": "Hello" }), true),
        (vec![("mcp-param-region", "SGVsbG8=")], json!({ "region": "SGVsbG8=" }), true),
        (vec![("mcp-param-region", "=?base64?SGVsbG8=")], json!({ "region": "=?base64?SGVsbG8=" }), true),
        (vec![("mcp-param-count", "3"), ("mcp-param-deep", "true")], deep(3, true), true),
        (vec![("mcp-param-other", "x")], json!({}), true),
        (vec![], json!({ "region": "Hello" }), false),
        (vec![("mcp-param-region", "hello")], json!({ "region": "Hello" }), false),
        (vec![("mcp-param-region", "=?base64?SGVsbG8?=")], json!({ "region": "Hello" }), false),
        (vec![("mcp-param-region", "=?base64?SGVs!!!bG8=?=")], json!({ "region": "Hello" }), false),
        (vec![("mcp-param-region", "Hello")], json!({}), false),
        (vec![("mcp-param-region", "null")], json!({ "region": null }), false),
        (vec![("mcp-param-region", "x")], json!({ "region": ["x"] }), false),
        (vec![("mcp-param-count", "3"), ("mcp-param-deep", "false")], deep(3, true), false),
        (vec![("mcp-param-count", "3")], deep(3, true), false),
    ] {
        let found = arguments_agree(&headers(&given), &schema, arguments.as_object());
        let code = found.as_ref().err().map(|error| error.code);
        let wanted = (!agrees).then_some(ErrorCode::HEADER_MISMATCH);
        assert_eq!(code, wanted, "{given:?} {arguments}: {found:?}");
    }
    let mut twice = headers(&[("mcp-param-region", "Hello")]);
    twice.append(HeaderName::from_static("mcp-param-region"), HeaderValue::from_static("Hello"));
    assert!(arguments_agree(&twice, &schema, json!({ "region": "Hello" }).as_object()).is_err());
    assert!(arguments_agree(&headers(&[]), &schema, None).is_ok());
}

fn deep(count: u8, deep: bool) -> Value {
    json!({ "count": count, "inner": { "deep": deep } })
}

fn object(value: Value) -> JsonObject {
    let Value::Object(object) = value else { panic!("no object") };
    object
}
