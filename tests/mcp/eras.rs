//! Both ways of opening a connection, and what is listed over it.

use serde_json::{Value, json};

use crate::client::{Client, Era};
use crate::world::World;

const TOOLS: [&str; 5] = ["chat", "result", "listmodels", "status", "version"];
/// Tokens that the list of tools may cost its client, at four bytes each.
const LIST_TOKENS_MAX: usize = 2500;

fn names(list: &Value) -> Vec<&str> {
    list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn both_legacy_versions_shake_hands_list_and_call() {
    let world = World::start().await;
    for version in ["2025-06-18", "2025-11-25"] {
        let mut client = Client::of(&world.server, Era::Legacy(version)).await;
        let hello = &client.hello["result"];
        assert_eq!(
            (&hello["protocolVersion"], &hello["serverInfo"]["name"]),
            (&json!(version), &json!("exai"))
        );
        assert!(hello["capabilities"]["tools"].is_object() && hello["instructions"].is_string(), "{hello}");
        let list = client.request("tools/list", json!({})).await;
        assert_eq!(names(&list["result"]), TOOLS);
        assert_eq!(client.request("ping", json!({})).await["result"], json!({}));
        let reply = client.chat(&format!("in version {version}")).await;
        assert!(reply.text().contains(version), "{}", reply.text());
    }
    assert_eq!(world.kimi.journal().len(), 2);
}

#[tokio::test]
async fn a_modern_client_needs_no_handshake() {
    let world = World::start().await;
    let mut client = Client::of(&world.server, Era::Modern).await;
    let found = client.request("server/discover", json!({})).await;
    let found = &found["result"];
    let versions = found["supportedVersions"].as_array().unwrap_or_else(|| panic!("{found}"));
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        assert!(versions.contains(&json!(version)), "{found}");
    }
    assert_eq!(found["resultType"], "complete", "{found}");
    assert_eq!(found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "exai", "{found}");
    let list = client.request("tools/list", json!({})).await;
    let list = &list["result"];
    assert_eq!(names(list), TOOLS);
    assert!(list["ttlMs"].is_u64() && list["cacheScope"].is_string(), "{list}");
    let reply = client.chat("without a handshake").await;
    assert!(reply.text().contains("without a handshake"));
    assert_eq!(reply.0["resultType"], "complete", "{}", reply.0);
    // Its era has no ping.
    assert_eq!(client.request("ping", json!({})).await["error"]["code"], -32601);
    let unsaid = json!({ "jsonrpc": "2.0", "id": 99, "method": "tools/list", "params": {} });
    client.tell(unsaid).await;
    assert!(
        client.answer(99).await["error"].is_object(),
        "a request without its _meta is no request of any era"
    );
}

#[tokio::test]
async fn a_handshake_does_not_shut_out_the_modern_era() {
    let world = World::start().await;
    let mut client = world.client().await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "both", "version": "1" },
    });
    let list = client.request("tools/list", json!({ "_meta": meta })).await;
    assert!(list["result"]["ttlMs"].is_u64(), "{list}");
}

#[tokio::test]
async fn the_tools_are_strict_and_small() {
    let world = World::start().await;
    let mut client = world.client().await;
    let list = client.request("tools/list", json!({})).await;
    let bytes = list["result"].to_string().len();
    figure(&format!("tools/list: {bytes} bytes, about {} tokens", bytes / 4));
    assert!(bytes / 4 < LIST_TOKENS_MAX, "{bytes} bytes");
    for tool in list["result"]["tools"].as_array().unwrap() {
        let schema = &tool["inputSchema"];
        assert_eq!(
            (&schema["type"], &schema["additionalProperties"]),
            (&json!("object"), &json!(false)),
            "{tool}"
        );
        assert!(tool["description"].as_str().is_some_and(|text| text.len() > 20), "{tool}");
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["type"].is_string() && property["description"].is_string(), "{name} of {tool}");
        }
    }
    let chat = &list["result"]["tools"][0]["inputSchema"];
    assert_eq!(chat["required"], json!(["prompt"]));
    for name in ["prompt", "model", "continuation_id", "temperature", "thinking", "max_tokens"] {
        assert!(chat["properties"][name].is_object(), "{name}");
    }
}

#[expect(clippy::print_stdout, reason = "a figure for whoever runs the tests with --nocapture")]
pub(crate) fn figure(words: &str) {
    println!("{words}");
}
