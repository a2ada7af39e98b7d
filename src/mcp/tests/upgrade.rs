//! What the door says to those it does not let in, and how it lets the others in.

use super::ws::{self, Answer, Opened, upgrade_headers};
use super::*;

async fn refused(server: &Server, method: &str, headers: &[(&str, &str)]) -> Answer {
    match ws::open(server.address, method, "/mcp", headers).await.unwrap() {
        Opened::Refused(answer) => answer,
        Opened::Ws(_) => panic!("{method} {headers:?} was let in"),
    }
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    upgrade_headers().into_iter().filter(|(header, _)| *header != name).collect()
}

fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    [without(name), vec![(name, value)]].concat()
}

#[actix_web::test]
async fn only_an_upgrade_gets_in() {
    let server = Server::start().await.unwrap();
    let cases = [
        ("GET", vec![], 426),
        ("GET", without("Upgrade"), 426),
        ("GET", without("Connection"), 426),
        ("GET", with("Upgrade", "h2c"), 426),
        ("GET", without("Sec-WebSocket-Version"), 426),
        ("GET", with("Sec-WebSocket-Version", "8"), 426),
        ("GET", without("Sec-WebSocket-Key"), 400),
        ("GET", with("Sec-WebSocket-Key", "short"), 400),
        ("PUT", upgrade_headers(), 405),
        ("PATCH", vec![], 405),
        ("GET", with("Authorization", "Bearer wrong"), 401),
        ("POST", with("Authorization", "Bearer wrong"), 401),
    ];
    for (method, headers, status) in cases {
        let answer = refused(&server, method, &headers).await;
        assert_eq!(answer.status, status, "{method} {headers:?}: {answer:?}");
        let head = answer.head.to_ascii_lowercase();
        assert_eq!(head.contains("sec-websocket-version: 13"), status == 426, "{head}");
        if status != 401 {
            assert!(
                serde_json::from_str::<Value>(&answer.body).unwrap()["error"]["message"].is_string(),
                "{answer:?}"
            );
        }
    }
    assert_eq!(server.connections.total(), 0);
}

#[actix_web::test]
async fn the_subprotocol_is_echoed_where_it_is_offered() {
    let server = Server::start().await.unwrap();
    let said = |ws: &Ws| ws.head.to_ascii_lowercase().contains("sec-websocket-protocol: mcp\r\n");
    for (offered, echoed) in [("mcp", true), ("other, mcp", true), ("other", false)] {
        let ws = ws::connect(server.address, "/mcp", &[("Sec-WebSocket-Protocol", offered)]).await.unwrap();
        assert_eq!(said(&ws), echoed, "{offered}");
    }
    assert!(!said(&ws::connect(server.address, "/mcp", &[]).await.unwrap()));
}
