//! No bytes at all make the reading of a message panic, and ids survive it exactly.

use proptest::prelude::*;
use rmcp::model::RequestId;

use super::super::envelope::{Reading, read, request_id};
use super::*;

proptest! {
    #[test]
    fn garbage_never_panics(text in "[\\[\\]{}\":,0-9a-z\\\\ ]{0,200}") {
        read(&text);
        request_id(&text);
    }

    #[test]
    fn a_broken_request_never_panics(at in 0usize..200, with in any::<char>()) {
        let mut text = modern(json!(1), "tools/call", json!({ "name": "chat", "arguments": {} })).to_string();
        let at = at.min(text.len() - 1);
        text.replace_range(at..=at, with.encode_utf8(&mut [0; 4]));
        read(&text);
        request_id(&text);
    }

    #[test]
    fn text_ids_come_back_as_they_went(id in ".{0,200}") {
        let text = ping(json!(id)).to_string();
        prop_assert_eq!(request_id(&text), Some(RequestId::String(id.into())));
        prop_assert!(matches!(read(&text), Reading::Message(_)));
    }

    #[test]
    fn integer_ids_come_back_as_they_went(id in any::<i64>()) {
        prop_assert_eq!(request_id(&ping(json!(id)).to_string()), Some(RequestId::Number(id)));
    }
}

#[test]
fn a_refused_id_hears_the_limit_that_it_broke() {
    let cases = [
        (json!("i".repeat(5000)).to_string(), "an id is at most 1024 bytes long"),
        ("9223372036854775808".to_owned(), "an integer id fits into 64 bits with a sign"),
        ("1.5".to_owned(), "an id is text or an integer"),
        ("[]".to_owned(), "an id is text or an integer"),
    ];
    for (id, message) in cases {
        let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let Reading::Refused(fault) = read(&request) else { panic!("{id} was taken") };
        assert_eq!(fault.error.message, message, "{id}");
    }
}

#[test]
fn nesting_is_counted_outside_of_text_only() {
    let brackets = "[".repeat(500);
    let call =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "x", "params": { "text": format!("\\\"{brackets}") } });
    assert!(matches!(read(&call.to_string()), Reading::Message(_)));
    let deep = |levels: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{}{}}}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert!(matches!(read(&deep(125)), Reading::Message(_)));
    for levels in [126, 200, 1_000_000] {
        assert!(matches!(read(&deep(levels)), Reading::Refused(_)), "{levels}");
    }
}

#[test]
fn what_an_era_has_no_more_is_unknown_to_it_and_malformed_in_the_others() {
    for method in ["initialize", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"] {
        let Reading::Refused(fault) = read(&modern(json!(1), method, json!({})).to_string()) else {
            panic!("{method} was taken")
        };
        assert_eq!(fault.error.code.0, -32601, "{method}");
        let bare = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": {} });
        let Reading::Refused(fault) = read(&bare.to_string()) else { panic!("{method} was taken") };
        assert_eq!(fault.error.code.0, -32602, "{method}");
    }
    let Reading::Refused(fault) = read(&modern(json!(1), "ping", json!({})).to_string()) else {
        panic!("a modern ping was taken")
    };
    assert_eq!(fault.error.code.0, -32601);
}

#[test]
fn responses_are_read_whole_or_not_at_all() {
    let result = json!({ "jsonrpc": "2.0", "id": 1, "result": { "action": "accept" } });
    let error = json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -1, "message": "no" } });
    for response in [&result, &error] {
        assert!(matches!(read(&response.to_string()), Reading::Message(_)), "{response}");
    }
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    let many = format!(r#"{{"jsonrpc":"2.0","id":1,"result":[0{}]}}"#, ",0".repeat(30_000));
    let old = r#"{"jsonrpc":"1.0","id":1,"result":{}}"#;
    for broken in [&deep, &many, old] {
        assert!(matches!(read(broken), Reading::Nothing));
    }
    let both = r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#;
    assert!(matches!(read(both), Reading::Refused(_)));
}
