//! When an answer counts as delivered: when its client has said so.

use super::ws::{Frame, PING, PONG, TEXT};
use super::*;

fn fetch(id: i64, call: CallId) -> Value {
    let params = json!({ "name": "result", "arguments": { "call_id": call } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

/// Reads an answer and the ping behind it; gives what the ping carries.
async fn next_ping(ws: &mut Ws) -> Vec<u8> {
    let answer = ws.next_frame().await.unwrap().unwrap();
    assert_eq!(answer.first, TEXT);
    let Frame { first, payload } = ws.next_frame().await.unwrap().unwrap();
    assert_eq!((first, payload.len()), (PING, 8), "a ping with a number stands right behind an answer");
    payload
}

#[actix_web::test]
async fn an_answer_is_delivered_when_the_ping_behind_it_is_answered() {
    let server = Server::start().await.unwrap();
    let (one, two) = (server.inside.answered("one").await, server.inside.answered("two").await);
    let mut ws = server.initialized().await.unwrap();
    tell(&mut ws, fetch(1, one)).await.unwrap();
    let first = next_ping(&mut ws).await;
    // Another answer to nothing, and a heartbeat's: they say nothing of any answer.
    for stranger in [&b""[..], b"12345678", &[0; 8]] {
        ws.send_frame(PONG, stranger).await.unwrap();
    }
    assert!(ask(&mut ws, ping(json!(2))).await.unwrap().get("result").is_some());
    assert!(server.seen.delivered.lock().is_empty());
    ws.send_frame(PONG, &first).await.unwrap();
    assert!(server.until(|server| *server.seen.delivered.lock() == [one]).await);
    // A client may answer the newest ping alone.
    for (id, call) in [(3, one), (4, two)] {
        tell(&mut ws, fetch(id, call)).await.unwrap();
    }
    next_ping(&mut ws).await;
    let newest = next_ping(&mut ws).await;
    ws.send_frame(PONG, &newest).await.unwrap();
    assert!(server.until(|server| server.seen.delivered.lock().len() == 3).await);
    let mut delivered = server.seen.delivered.lock().split_off(1);
    delivered.sort();
    let mut expected = vec![one, two];
    expected.sort();
    assert_eq!(delivered, expected);
}

#[actix_web::test]
async fn a_client_that_never_says_so_has_nothing_delivered() {
    let server = Server::start().await.unwrap();
    let call = server.inside.answered("unheard").await;
    let mut ws = server.initialized().await.unwrap();
    tell(&mut ws, fetch(1, call)).await.unwrap();
    next_ping(&mut ws).await;
    assert!(ask(&mut ws, ping(json!(2))).await.unwrap().get("result").is_some());
    drop(ws);
    assert!(server.until(|server| !server.seen.closed.lock().is_empty()).await);
    assert!(server.seen.delivered.lock().is_empty());
}

#[actix_web::test]
async fn what_is_no_outcome_of_a_call_is_followed_by_no_ping() {
    let server = Server::start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    for (id, tool) in [(1, "version"), (2, "chat"), (3, "result")] {
        let params = json!({ "name": tool, "arguments": {} });
        tell(&mut ws, json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }))
            .await
            .unwrap();
        assert_eq!(ws.next_frame().await.unwrap().unwrap().first, TEXT);
    }
    tell(&mut ws, fetch(4, CallId::mint())).await.unwrap();
    assert_eq!(ws.next_frame().await.unwrap().unwrap().first, TEXT);
    tell(&mut ws, ping(json!(5))).await.unwrap();
    assert_eq!(ws.next_frame().await.unwrap().unwrap().first, TEXT, "nothing stood between them");
}
