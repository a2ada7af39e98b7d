//! Both eras over one door, and a test for every gap of the engine that the edge closes.

use super::*;

#[actix_web::test]
async fn a_legacy_client_initializes_lists_and_calls() {
    let server = Server::start().await.unwrap();
    for (asked, served) in [
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
    ] {
        let mut ws = server.connect().await.unwrap();
        let answer = ask(&mut ws, initialize(asked)).await.unwrap();
        assert_eq!(answer["id"], 0);
        assert_eq!(answer["result"]["protocolVersion"], served);
        assert_eq!(answer["result"]["serverInfo"]["name"], "exai");
        assert!(answer["result"]["instructions"].is_string());
        tell(&mut ws, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await.unwrap();
        let list = json!({ "jsonrpc": "2.0", "id": "list", "method": "tools/list" });
        let answer = ask(&mut ws, list).await.unwrap();
        assert_eq!(answer["id"], "list");
        assert!(answer["result"]["tools"].is_array());
        assert!(answer["result"].get("resultType").is_none(), "the legacy era has no resultType");
        assert_eq!(
            ask(&mut ws, ping(json!(7))).await.unwrap(),
            json!({ "jsonrpc": "2.0", "id": 7, "result": {} })
        );
    }
}

#[actix_web::test]
async fn a_modern_client_needs_no_handshake() {
    let server = Server::start().await.unwrap();
    let mut ws = server.connect().await.unwrap();
    let discovered = ask(&mut ws, modern(json!(1), "server/discover", json!({}))).await.unwrap();
    let versions = json!(["2025-06-18", "2025-11-25", "2026-07-28"]);
    assert_eq!(discovered["result"]["supportedVersions"], versions);
    let listed = ask(&mut ws, modern(json!(2), "tools/list", json!({}))).await.unwrap();
    assert_eq!(listed["result"]["resultType"], "complete");
    assert!(listed["result"]["ttlMs"].is_u64() && listed["result"]["cacheScope"].is_string());
    let gone = ask(&mut ws, modern(json!(3), "ping", json!({}))).await.unwrap();
    assert_eq!(gone["error"]["code"], -32601);
    let bare = ask(&mut ws, json!({ "jsonrpc": "2.0", "id": 4, "method": "tools/list" })).await.unwrap();
    assert_eq!(bare["error"]["code"], -32602);
    let mut future = modern(json!(5), "tools/list", json!({}));
    future["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    assert_eq!(ask(&mut ws, future).await.unwrap()["error"]["code"], -32022);
}

#[actix_web::test]
async fn a_modern_request_is_answered_on_a_legacy_socket() {
    let server = Server::start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    let listed = ask(&mut ws, modern(json!("m"), "tools/list", json!({}))).await.unwrap();
    assert_eq!(listed["result"]["resultType"], "complete");
    let list = json!({ "jsonrpc": "2.0", "id": "l", "method": "tools/list" });
    assert!(ask(&mut ws, list).await.unwrap()["result"].get("resultType").is_none());
}

#[actix_web::test]
async fn every_error_has_its_code_and_its_id() {
    let server = Server::start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let cases = [
        ("{", -32700, json!(null)),
        ("", -32700, json!(null)),
        ("[1,", -32700, json!(null)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping""#, -32700, json!(null)),
        ("[]", -32600, json!(null)),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, json!(null)),
        ("17", -32600, json!(null)),
        ("{}", -32600, json!(null)),
        (r#"{"jsonrpc":"2.0","id":2}"#, -32600, json!(2)),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, json!(null)),
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#, -32600, json!(null)),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, -32600, json!(null)),
        (r#"{"jsonrpc":"2.0","id":99999999999999999999,"method":"ping"}"#, -32600, json!(null)),
        (r#"{"jsonrpc":"1.0","id":3,"method":"ping"}"#, -32600, json!(3)),
        (r#"{"id":4,"method":"ping"}"#, -32600, json!(4)),
        (r#"{"jsonrpc":"2.0","id":5,"method":"ping","method":"tools/list"}"#, -32600, json!(5)),
        (r#"{"jsonrpc":"2.0","id":6,"id":7,"method":"ping"}"#, -32600, json!(null)),
        (r#"{"jsonrpc":"2.0","id":8,"method":17}"#, -32600, json!(8)),
        (r#"{"jsonrpc":"2.0","id":9,"method":"ping","result":{}}"#, -32600, json!(9)),
        (deep.as_str(), -32600, json!(1)),
        (r#"{"jsonrpc":"2.0","id":10,"method":"tools/call","params":{}}"#, -32602, json!(10)),
        (
            r#"{"jsonrpc":"2.0","id":11,"method":"tools/call","params":{"name":"chat","arguments":[]}}"#,
            -32602,
            json!(11),
        ),
        (
            r#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"chat","arguments":{"a":1,"a":2}}}"#,
            -32602,
            json!(17),
        ),
        (r#"{"jsonrpc":"2.0","id":"12","method":"tools/call"}"#, -32602, json!("12")),
        (
            r#"{"jsonrpc":"2.0","id":13,"method":"tools/call","params":{"name":"no such tool"}}"#,
            -32602,
            json!(13),
        ),
        (r#"{"jsonrpc":"2.0","id":14,"method":"no/such/method"}"#, -32601, json!(14)),
        (r#"{"jsonrpc":"2.0","id":18,"method":"tasks/list"}"#, -32601, json!(18)),
        (r#"{"jsonrpc":"2.0","id":19,"method":"tasks/get","params":{}}"#, -32602, json!(19)),
        (
            r#"{"jsonrpc":"2.0","id":15,"method":"resources/subscribe","params":{"uri":"exai://models"}}"#,
            -32601,
            json!(15),
        ),
        (
            r#"{"jsonrpc":"2.0","id":16,"method":"resources/subscribe","params":{"uri":"exai://breakers"}}"#,
            -32601,
            json!(16),
        ),
    ];
    for (text, code, id) in cases {
        ws.send_text(text).await.unwrap();
        let answer = next(&mut ws).await.unwrap();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{text}: {answer}");
    }
    assert_eq!(ask(&mut ws, ping(json!("alive"))).await.unwrap()["id"], "alive");
}

#[actix_web::test]
async fn an_unknown_tool_says_so_in_its_data() {
    let server = Server::start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "x" } });
    assert_eq!(ask(&mut ws, call).await.unwrap()["error"]["data"], json!({ "kind": "unknown_tool" }));
}

#[actix_web::test]
async fn an_early_notification_does_not_end_the_service() {
    let server = Server::start().await.unwrap();
    let mut ws = server.connect().await.unwrap();
    let early = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    tell(&mut ws, early.clone()).await.unwrap();
    assert_eq!(ask(&mut ws, ping(json!(1))).await.unwrap()["id"], 1);
    tell(&mut ws, early.clone()).await.unwrap();
    ask(&mut ws, modern(json!(2), "server/discover", json!({}))).await.unwrap();
    tell(&mut ws, early).await.unwrap();
    tell(&mut ws, json!({ "jsonrpc": "2.0", "id": 9, "result": {} })).await.unwrap();
    assert_eq!(ask(&mut ws, initialize("2025-11-25")).await.unwrap()["id"], 0);
    assert_eq!(ask(&mut ws, ping(json!(3))).await.unwrap()["id"], 3);
}

#[actix_web::test]
async fn a_connection_that_says_nothing_is_closed() {
    let limits = Limits { hello_within: Duration::from_millis(200), ..Limits::default() };
    let server = Setup { limits, ..Setup::default() }.start().await.unwrap();
    let mut silent = server.connect().await.unwrap();
    let mut mumbling = server.connect().await.unwrap();
    tell(&mut mumbling, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await.unwrap();
    let mut polite = server.initialized().await.unwrap();
    assert_eq!(silent.close_code().await.unwrap(), 1008);
    assert_eq!(mumbling.close_code().await.unwrap(), 1008);
    assert_eq!(ask(&mut polite, ping(json!(1))).await.unwrap()["id"], 1);
    assert!(server.seen.closed.lock().is_empty(), "nobody introduced themselves and went");
}

#[actix_web::test]
async fn a_doubled_id_is_refused_while_the_first_runs() {
    let server = Server::start().await.unwrap();
    let mut ws = server.connect().await.unwrap();
    let listen = || modern(json!("sub"), "subscriptions/listen", json!({ "notifications": {} }));
    let first = ask(&mut ws, listen()).await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let second = ask(&mut ws, listen()).await.unwrap();
    assert_eq!((&second["error"]["code"], &second["id"]), (&json!(-32600), &json!("sub")));
    // A cancelled request gets no answer, and its id is free once its handler has ended.
    tell(
        &mut ws,
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "sub" } }),
    )
    .await
    .unwrap();
    for _ in 0..100 {
        let again = ask(&mut ws, listen()).await.unwrap();
        if again["method"] == "notifications/subscriptions/acknowledged" {
            let told = &again["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
            assert_eq!(told, "sub", "the client's own id");
            return;
        }
        assert_eq!((&again["error"]["code"], &again["id"]), (&json!(-32600), &json!("sub")));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the id was never free again");
}

#[actix_web::test]
async fn a_large_request_is_read_and_keeps_its_place() {
    let server = Server::start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "x", "arguments": { "prompt": "p".repeat(3 << 20) } } });
    tell(&mut ws, call).await.unwrap();
    tell(&mut ws, ping(json!(2))).await.unwrap();
    let ids = [next(&mut ws).await.unwrap()["id"].clone(), next(&mut ws).await.unwrap()["id"].clone()];
    assert_eq!(ids, [json!(1), json!(2)]);
}

#[actix_web::test]
async fn a_session_is_told_of_at_both_its_ends() {
    let server = Server::start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    ask(&mut ws, ping(json!(1))).await.unwrap();
    let opened = server.seen.opened.lock().clone();
    let [session] = opened.as_slice() else { panic!("one session opened, not {opened:?}") };
    assert_eq!((session.client.as_str(), session.protocol.as_str()), ("atest 1", "2025-11-25"));
    assert_eq!((session.principal.as_str(), session.transport.as_str()), ("tester", "websocket"));
    ws.send_close(1000).await.unwrap();
    assert_eq!(ws.close_code().await.unwrap(), 1000);
    assert!(server.until(|server| !server.seen.closed.lock().is_empty()).await);
    let ended = server.seen.closed.lock().clone();
    assert_eq!((ended[0].id, ended[0].close_code), (session.id, 1000));
    assert_eq!((ended[0].messages_in, ended[0].messages_out), (3, 2));
    assert_eq!(server.connections.total(), 0);
}

#[actix_web::test]
async fn a_leaving_server_ends_subscriptions_and_closes_with_1001() {
    let server = Server::start().await.unwrap();
    let mut idle = server.initialized().await.unwrap();
    let mut listening = server.connect().await.unwrap();
    let listen = modern(json!(1), "subscriptions/listen", json!({ "notifications": {} }));
    ask(&mut listening, listen).await.unwrap();
    server.leaving.cancel();
    assert_eq!(idle.close_code().await.unwrap(), 1001);
    let end = next(&mut listening).await.unwrap();
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&json!(1), &json!("complete")));
    assert_eq!(end["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    assert_eq!(listening.close_code().await.unwrap(), 1001);
}
