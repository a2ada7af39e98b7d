//! What one token's owner has is to another as if it were not there.

use serde_json::json;
use uuid::Uuid;

use crate::client::{Client, Era, Reply};
use crate::world::World;

/// What a reply says beside the id that was asked for.
fn without(reply: &Reply, id: &str) -> String {
    reply.0.to_string().replace(id, "ID")
}

#[tokio::test]
async fn anothers_ids_look_exactly_like_unknown_ones() {
    let world = World::start().await;
    let mut tokens = Vec::new();
    for name in ["ann", "bob"] {
        let (code, said) = world.server.run(&["token", "add", name]).await;
        assert_eq!(code, Some(0), "{said}");
        tokens.push(said.lines().next().unwrap().to_owned());
    }
    let era = Era::Legacy("2025-11-25");
    let mut ann = Client::with_token(&world.server, era, &tokens[0]).await;
    let mut bob = Client::with_token(&world.server, era, &tokens[1]).await;
    let asked = ann.begin_keyed(json!({ "prompt": "ann's secret plan" }), "the-key").await;
    let answered = ann.reply(asked).await;
    let (call, conversation) = (answered.of_receipt("call_id"), answered.of_receipt("conversation_id"));
    let unknown = Uuid::now_v7().to_string();
    let own = ann.call("result", json!({ "call_id": call })).await;
    assert!(!own.is_error(), "{}", own.0);
    for (tool, name, id) in [("result", "call_id", &call), ("chat", "continuation_id", &conversation)] {
        let arguments = |id: &str| match tool {
            "chat" => json!({ "prompt": "go on", name: id }),
            _ => json!({ name: id }),
        };
        let others = bob.call(tool, arguments(id)).await;
        let nobodys = bob.call(tool, arguments(&unknown)).await;
        assert_eq!(others.kind(), "not_found", "{}", others.0);
        assert_eq!(without(&others, id), without(&nobodys, &unknown), "{tool}");
    }
    // The same key is another call's, and another answer's.
    let bobs = bob.begin_keyed(json!({ "prompt": "bob's question" }), "the-key").await;
    let bobs = bob.reply(bobs).await;
    assert_ne!(bobs.of_receipt("call_id"), call);
    let listed = bob.request("resources/list", json!({})).await.to_string();
    assert!(!listed.contains(&conversation), "{listed}");
    let owners = world.db.texts("SELECT principal AS t FROM calls ORDER BY principal").await;
    assert_eq!(owners, ["ann", "bob"]);
}
