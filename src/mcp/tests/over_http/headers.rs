//! What a request's headers say, and what becomes of it.

use super::*;

#[actix_web::test]
async fn who_names_a_stream_first_gets_one_but_for_an_error() {
    let server = Server::start().await.unwrap();
    let list = modern(json!(1), "tools/list", json!({})).to_string();
    let gone = modern(json!(2), "tasks/list", json!({})).to_string();
    for (accept, method, body, status, kind) in [
        ("application/json, text/event-stream", "tools/list", &list, 200, "application/json"),
        ("text/event-stream, application/json", "tools/list", &list, 200, "text/event-stream"),
        ("text/event-stream, application/json", "tasks/list", &gone, 404, "application/json"),
    ] {
        let headers = [MODERN, ("Mcp-Method", method), ("Accept", accept)];
        let mut answer = Exchange::begin(&server, "POST", &headers, body).await;
        let messages = answer.messages().await;
        assert_eq!(answer.status().await, status, "{}", answer.got);
        assert!(answer.got.contains(&format!("content-type: {kind}\r\n")), "{}", answer.got);
        assert_eq!(messages.len(), 1, "{}", answer.got);
    }
}

#[actix_web::test]
async fn a_task_is_named_in_a_header_too() {
    let server = Server::start().await.unwrap();
    for (method, name, status, code) in [
        ("tasks/get", Some("other"), 400, -32020),
        ("tasks/cancel", None, 400, -32020),
        ("tasks/update", Some("=?base64?dGFzaw==?="), 404, -32601),
        ("tasks/get", Some("task"), 404, -32601),
    ] {
        let params = json!({ "taskId": "task", "inputResponses": {} });
        let mut headers = vec![MODERN, ("Mcp-Method", method)];
        headers.extend(name.map(|name| ("Mcp-Name", name)));
        let mut answer = post(&server, &headers, &modern(json!(1), method, params)).await;
        assert_eq!(answer.status().await, status, "{method} {name:?}: {}", answer.got);
        assert_eq!(answer.messages().await[0]["error"]["code"], code, "{}", answer.got);
    }
}
