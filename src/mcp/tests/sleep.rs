//! An idle session holds no engine, whatever it did before, and nobody can tell from its answers.

use exai_actors::clock;

use super::*;

/// Long enough for a burst of a test to be one burst, on a busy machine too.
const SLEEP_AFTER: Duration = Duration::from_millis(100);

async fn drowsy(sleep_after: Duration) -> Server {
    let limits = Limits { sleep_after, requests_burst: 100_000, ..Limits::default() };
    Setup { limits, ..Setup::default() }.start().await.unwrap()
}

impl Server {
    async fn sleeps(&self) {
        assert!(self.until(|server| server.engines.is_empty()).await, "an engine stays awake");
    }
}

fn cancel(id: &str) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
}

#[actix_web::test]
async fn a_legacy_session_is_the_same_after_every_sleep() {
    let server = drowsy(SLEEP_AFTER).await;
    let mut ws = server.initialized().await.unwrap();
    server.sleeps().await;
    let call =
        json!({ "jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": { "name": "version" } });
    let list = json!({ "jsonrpc": "2.0", "id": "list", "method": "tools/list" });
    for request in [call, list, ping(json!("ping")), modern(json!("modern"), "tools/list", json!({}))] {
        let id = request["id"].clone();
        let is_modern = id == "modern";
        let answer = ask(&mut ws, request).await.unwrap();
        assert_eq!(answer["id"], id);
        assert!(answer["result"].is_object(), "{answer}");
        assert_eq!(answer["result"].get("resultType").is_some(), is_modern, "each in its own era: {answer}");
        assert_eq!(server.engines.len(), 1);
        server.sleeps().await;
    }
    // A notification wakes it too, and there is nothing to hear of it.
    tell(&mut ws, json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" })).await.unwrap();
    assert!(server.until(|server| server.engines.len() == 1).await);
    server.sleeps().await;
    // What is refused at the edge wakes nobody.
    ws.send_text("[]").await.unwrap();
    assert_eq!(next(&mut ws).await.unwrap()["error"]["code"], -32600);
    tell(&mut ws, cancel("call")).await.unwrap();
    assert!(server.engines.is_empty());
    assert_eq!(server.seen.opened.lock().len(), 1, "it introduced itself once");
    // A second handshake is answered as the first one was.
    assert_eq!(
        ask(&mut ws, initialize("2025-06-18")).await.unwrap()["result"]["protocolVersion"],
        "2025-06-18"
    );
    server.sleeps().await;
    assert!(ask(&mut ws, ping(json!("last"))).await.unwrap().get("result").is_some());
}

#[actix_web::test]
async fn a_modern_session_asks_for_metadata_after_every_sleep() {
    let server = drowsy(SLEEP_AFTER).await;
    let mut ws = server.connect().await.unwrap();
    ask(&mut ws, modern(json!(0), "tools/list", json!({}))).await.unwrap();
    for (id, request, code) in [
        (1, ping(json!(1)), -32602),
        (2, json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }), -32602),
        (3, modern(json!(3), "ping", json!({})), -32601),
        (4, modern(json!(4), "resources/subscribe", json!({ "uri": "exai://breakers" })), -32601),
    ] {
        server.sleeps().await;
        let answer = ask(&mut ws, request).await.unwrap();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!(code)), "{answer}");
    }
    server.sleeps().await;
    let listed = ask(&mut ws, modern(json!(5), "tools/list", json!({}))).await.unwrap();
    assert_eq!((&listed["id"], &listed["result"]["resultType"]), (&json!(5), &json!("complete")));
}

#[actix_web::test]
async fn a_connection_sleeps_through_its_handshake() {
    let server = drowsy(SLEEP_AFTER).await;
    let mut ws = server.connect().await.unwrap();
    assert!(server.engines.is_empty(), "nothing was said yet");
    assert_eq!(ask(&mut ws, ping(json!(1))).await.unwrap()["result"], json!({}));
    server.sleeps().await;
    assert!(
        ask(&mut ws, modern(json!(2), "server/discover", json!({}))).await.unwrap()["result"].is_object()
    );
    server.sleeps().await;
    let bare = ask(&mut ws, json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/list" })).await.unwrap();
    assert_eq!(bare["error"]["code"], -32602, "there was no handshake yet");
    server.sleeps().await;
    assert_eq!(ask(&mut ws, initialize("2025-11-25")).await.unwrap()["id"], 0);
    server.sleeps().await;
    assert!(ask(&mut ws, ping(json!(4))).await.unwrap().get("result").is_some());
    assert_eq!(server.seen.opened.lock().len(), 1);
}

#[actix_web::test]
async fn what_runs_keeps_its_engine_awake() {
    let server = drowsy(SLEEP_AFTER).await;
    let mut ws = server.connect().await.unwrap();
    let listen = modern(json!("sub"), "subscriptions/listen", json!({ "notifications": {} }));
    ask(&mut ws, listen.clone()).await.unwrap();
    tokio::time::sleep(SLEEP_AFTER * 5).await;
    assert_eq!(server.engines.len(), 1);
    let doubled = ask(&mut ws, listen.clone()).await.unwrap();
    assert_eq!((&doubled["id"], &doubled["error"]["code"]), (&json!("sub"), &json!(-32600)));
    tell(&mut ws, cancel("sub")).await.unwrap();
    server.sleeps().await;
    let again = ask(&mut ws, listen).await.unwrap();
    assert_eq!(again["method"], "notifications/subscriptions/acknowledged", "the id is free again");
    server.leaving.cancel();
    assert_eq!(next(&mut ws).await.unwrap()["result"]["resultType"], "complete");
    assert_eq!(ws.close_code().await.unwrap(), 1001);
}

#[actix_web::test]
async fn a_sleeping_session_hears_of_its_server_and_its_client() {
    let server = drowsy(SLEEP_AFTER).await;
    let mut left = server.initialized().await.unwrap();
    let mut gone = server.initialized().await.unwrap();
    server.sleeps().await;
    gone.send_close(1000).await.unwrap();
    assert_eq!(gone.close_code().await.unwrap(), 1000);
    assert!(server.until(|server| server.seen.closed.lock().len() == 1).await);
    server.leaving.cancel();
    assert_eq!(left.close_code().await.unwrap(), 1001);
    assert!(server.until(|server| server.seen.closed.lock().len() == 2).await);
    assert_eq!(server.connections.total(), 0);
}

/// Messages come exactly while engines fall asleep, and none of them is lost.
#[actix_web::test]
async fn a_thousand_sleeps_lose_nothing_and_leave_nothing() {
    const CYCLES: u64 = 1000;
    let sleep_after = Duration::from_millis(1);
    let server = drowsy(sleep_after).await;
    let mut ws = server.initialized().await.unwrap();
    let mut before = 0;
    for cycle in 0..CYCLES {
        if cycle == CYCLES / 10 {
            before = frames::resident_bytes();
        }
        assert_eq!(ask(&mut ws, ping(json!(cycle))).await.unwrap()["id"], cycle);
        let asked_at = clock::now();
        while cycle % 2 == 0 && !server.engines.is_empty() {
            assert!(asked_at.elapsed() < Duration::from_secs(5), "an engine stays awake");
            tokio::time::sleep(sleep_after / 4).await;
        }
        tokio::time::sleep(sleep_after * u32::try_from(cycle % 5).unwrap() / 2).await;
    }
    server.sleeps().await;
    let grown = frames::resident_bytes().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes");
    assert_eq!(server.seen.opened.lock().len(), 1);
}

/// Were it counted anew by every engine, a client could ask as fast as it let them sleep.
#[actix_web::test]
async fn the_rate_is_counted_through_sleep() {
    let limits = Limits {
        sleep_after: SLEEP_AFTER,
        requests_burst: 3,
        requests_per_second: 0.001,
        ..Limits::default()
    };
    let server = Setup { limits, ..Setup::default() }.start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    let mut refused = Vec::new();
    for id in 0..5 {
        server.sleeps().await;
        let answer = ask(&mut ws, ping(json!(id))).await.unwrap();
        refused.push(answer["error"]["data"]["kind"] == "rate_limited");
    }
    assert!(!refused[0] && refused[3] && refused[4], "{refused:?}");
    assert!(server.engines.is_empty(), "who is refused wakes nobody");
}
