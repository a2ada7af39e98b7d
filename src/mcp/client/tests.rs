//! What answers of all shapes are read as.

use serde_json::json;

use super::*;

fn answer(result: Value) -> Result<Reply, ClientError> {
    read(serde_json::from_value(result).unwrap())
}

#[test]
fn an_answer_is_its_first_block_and_its_receipt_is_optional() {
    let reply = answer(json!({
        "content": [{ "type": "text", "text": "yes" }, { "type": "text", "text": "receipt line" }],
        "structuredContent": { "a": 1 },
        "_meta": { "exai/receipt": { "not": "a receipt" } },
    }));
    let reply = reply.unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.receipt, reply.structured),
        ("yes", None, Some(json!({ "a": 1 })))
    );
}

#[test]
fn errors_keep_their_kind_and_find_their_sentence() {
    let failed_result = answer(json!({
        "content": [{ "type": "text", "text": "Come back later." }],
        "isError": true,
        "_meta": { "exai/error": { "kind": "breaker_open", "retry_after_ms": 5000 } },
    }));
    assert_eq!(failed_result.unwrap_err().to_string(), "Come back later. (breaker_open)");
    let data = Some(json!({ "kind": "draining" }));
    let refused = ErrorData::new(model::ErrorCode::INTERNAL_ERROR, "The server is shutting down.", data);
    let refused = failed(ServiceError::McpError(refused));
    assert_eq!(refused.to_string(), "The server is shutting down. (draining)");
    assert!(matches!(failed(ServiceError::TransportClosed), ClientError::Gone));
}

#[test]
fn a_password_in_the_address_is_not_shown() {
    let url = Url::parse("ws://exai:hunter2@127.0.0.1:8079/mcp").unwrap();
    assert_eq!(wire::shown(&url).as_str(), "ws://127.0.0.1:8079/mcp");
}
