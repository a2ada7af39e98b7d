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

#[actix_web::test]
async fn a_header_that_says_two_things_is_refused_where_it_decides_where_a_message_belongs() {
    let server = Server::start().await.unwrap();
    let session = open(&server).await;
    let of = ("Mcp-Session-Id", session.as_str());
    let version = ("MCP-Protocol-Version", "2025-11-25");
    let last = ("Last-Event-ID", "0-0");
    for (method, headers) in [
        ("POST", vec![of, version, version]),
        ("POST", vec![of, of]),
        ("GET", vec![of, version, version]),
        ("GET", vec![of, last, last]),
        ("DELETE", vec![of, of]),
    ] {
        let body = if method == "POST" { ping(json!(1)).to_string() } else { String::new() };
        let mut refused = Exchange::begin(&server, method, &headers, &body).await;
        assert_eq!(refused.status().await, 400, "{method} {headers:?}");
        assert!(refused.whole().await.contains("invalid_arguments"), "{}", refused.got);
    }
    assert_eq!(ping_in(&server, &session).await, 200, "the session goes on");
}

#[actix_web::test]
async fn a_body_in_a_coding_is_refused_by_the_name_of_what_is_taken() {
    let server = Server::start().await.unwrap();
    for (coding, status) in [("gzip", 415), ("identity, br", 415), ("Identity", 200)] {
        let headers = [("Content-Encoding", coding)];
        let mut answer = post(&server, &headers, &initialize("2025-11-25")).await;
        assert_eq!(answer.status().await, status, "{coding}");
        let names = answer.whole().await.contains("accept-encoding: identity\r\n");
        assert_eq!(names, status == 415, "{}", answer.got);
    }
}

#[actix_web::test]
async fn what_a_client_gives_no_weight_it_does_not_take() {
    let server = Server::start().await.unwrap();
    for (accept, status) in [
        ("application/json, text/event-stream;q=0", 406),
        ("application/json;q=0.000, */*", 406),
        ("text/*;q=0, */*", 406),
        ("*/*;q=0, application/json, text/event-stream;q=0.001", 200),
    ] {
        let mut answer = post(&server, &[("Accept", accept)], &initialize("2025-11-25")).await;
        assert_eq!(answer.status().await, status, "{accept}");
    }
}
