//! What a panic in a session costs: its message, or its connection, and never a neighbour on the same worker thread.

use exai_actors::faults::{self, Point};

use super::*;

#[actix_web::test]
async fn the_first_panic_costs_one_message_and_the_second_the_socket() {
    let server = Setup { alone: true, ..Setup::default() }.start().await.unwrap();
    let mut neighbour = server.initialized().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    ask(&mut ws, ping(json!(0))).await.unwrap();

    faults::arm(Point::Session, 1);
    let answer = ask(&mut ws, ping(json!("poison"))).await.unwrap();
    assert_eq!(answer["id"], "poison");
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["data"]),
        (&json!(-32603), &json!({ "kind": "internal" }))
    );
    for id in 1..=20 {
        assert_eq!(ask(&mut ws, ping(json!(id))).await.unwrap()["id"], id);
        assert_eq!(ask(&mut neighbour, ping(json!(id))).await.unwrap()["id"], id);
    }

    faults::arm(Point::Session, 1);
    tell(&mut ws, ping(json!("poison"))).await.unwrap();
    assert_eq!(ws.close_code().await.unwrap(), 1011);
    assert!(ws.is_closed_within(Duration::from_secs(2)).await);
    assert!(server.until(|server| server.connections.total() == 1).await, "its place is free again");
    assert!(server.until(|server| !server.seen.closed.lock().is_empty()).await);
    assert_eq!(server.seen.closed.lock()[0].close_code, 1011);
    assert_eq!(ask(&mut neighbour, ping(json!("last"))).await.unwrap()["id"], "last");
    server.initialized().await.unwrap();
}

#[actix_web::test]
async fn a_panic_over_a_notification_is_answered_with_nothing() {
    let server = Setup { alone: true, ..Setup::default() }.start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    ask(&mut ws, ping(json!(0))).await.unwrap();
    faults::arm(Point::Session, 1);
    tell(&mut ws, json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" })).await.unwrap();
    assert_eq!(ask(&mut ws, ping(json!(1))).await.unwrap()["id"], 1);
}

#[actix_web::test]
async fn a_hundred_panicking_sessions_leave_the_worker_whole() {
    let server = Setup { alone: true, ..Setup::default() }.start().await.unwrap();
    let mut neighbour = server.initialized().await.unwrap();
    for round in 0..100 {
        let mut ws = server.initialized().await.unwrap();
        ask(&mut ws, ping(json!(0))).await.unwrap();
        faults::arm(Point::Session, 2);
        tell(&mut ws, ping(json!(1))).await.unwrap();
        tell(&mut ws, ping(json!(2))).await.unwrap();
        assert_eq!(ws.close_code().await.unwrap(), 1011);
        assert_eq!(ask(&mut neighbour, ping(json!(round))).await.unwrap()["id"], round);
    }
    assert!(server.until(|server| server.connections.total() == 1).await);
}
