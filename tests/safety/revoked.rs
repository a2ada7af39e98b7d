//! What becomes of the connections of a token that is revoked.

use std::time::Duration;

use exai_upstream::Ended;
use serde_json::{Value, json};

use crate::client::{Client, Era};
use crate::http::{self, Exchange};
use crate::world::{World, until_journal};
use crate::ws::{self, Ws};

/// How soon a connection is closed; three times what is promised, for a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(3);

async fn token(world: &World, scopes: &str) -> String {
    let (code, said) = world.server.run(&["token", "add", "ann", "--scope", scopes]).await;
    assert_eq!(code, Some(0), "{said}");
    said.lines().next().unwrap().to_owned()
}

async fn revoke(world: &World) {
    let (code, said) = world.server.run(&["token", "revoke", "ann"]).await;
    assert_eq!(code, Some(0), "{said}");
}

/// A socket that says nothing.
async fn silent(to: std::net::SocketAddr, path: &str, token: &str) -> Ws {
    ws::connect(to, path, &[("Authorization", &format!("Bearer {token}"))]).await.unwrap()
}

/// The stream of a session over HTTP.
async fn stream(world: &World, token: &str) -> Exchange {
    let version = "2025-11-25";
    let who = json!({ "name": "over-http", "version": "1" });
    let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": who });
    let hello = http::request(0, "initialize", params).to_string();
    let mut opened = http::send_as(&world.server, token, "POST", &[], &hello).await;
    let session = opened.header("mcp-session-id").await.unwrap();
    let of = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", version)];
    let mut stream = http::send_as(&world.server, token, "GET", &of, "").await;
    assert_eq!(stream.status().await, 200);
    stream
}

/// A modern call that takes its time.
async fn call(world: &World, token: &str) -> Exchange {
    let prompt = json!({ "name": "chat", "arguments": { "prompt": "over HTTP" } });
    let call = http::modern(1, "tools/call", prompt).to_string();
    let headers =
        [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "chat")];
    let mut stream = http::send_as(&world.server, token, "POST", &headers, &call).await;
    assert_eq!(stream.status().await, 200);
    stream
}

#[tokio::test]
async fn every_connection_of_a_revoked_token_is_closed() {
    let world = World::start().await;
    let ann = token(&world, "client,dashboard").await;
    let mut ours = world.client().await;
    let mut our_feed = silent(world.server.dashboard, "/feed", crate::server::TOKEN).await;
    let mut client = Client::with_token(&world.server, Era::Legacy("2025-11-25"), &ann).await;
    world.next("delay=4000+tokens=30");
    client.begin_call("chat", json!({ "prompt": "this one is paid for" })).await;
    world.until_asked(1).await;
    world.next("stall-after=2");
    let mut modern = call(&world, &ann).await;
    world.until_asked(2).await;
    let mut session = stream(&world, &ann).await;
    let mut quiet = silent(world.server.mcp, "/mcp", &ann).await;
    let mut feed = silent(world.server.dashboard, "/feed", &ann).await;
    revoke(&world).await;
    let closed = async {
        let codes = [client.close_code().await, quiet.close_code().await.unwrap()];
        assert_eq!((codes, feed.close_code().await.unwrap()), ([1008, 1008], 1008));
        session.whole().await;
        modern.whole().await;
    };
    tokio::time::timeout(SOON, closed).await.unwrap();
    ours.fence().await;
    let picture = serde_json::from_str::<Value>(&our_feed.next_text().await.unwrap()).unwrap();
    assert_eq!(picture["whole"], true, "another's feed goes on");
    // As when their clients had gone: the one call goes on, the modern one is cancelled.
    until_journal(&world.kimi, |sent| {
        sent[0].ended == Ended::Complete && sent[1].ended == Ended::ClientClosed
    })
    .await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM sessions WHERE close_code = 1008").await, 3);
}

#[tokio::test]
async fn a_new_token_of_the_same_name_keeps_no_old_connection() {
    let world = World::start().await;
    let old = token(&world, "client").await;
    let mut before = Client::with_token(&world.server, Era::Modern, &old).await;
    before.fence().await;
    revoke(&world).await;
    let new = token(&world, "client").await;
    let mut after = Client::with_token(&world.server, Era::Modern, &new).await;
    after.fence().await;
    assert_eq!(tokio::time::timeout(SOON, before.close_code()).await.unwrap(), 1008);
    after.fence().await;
}
