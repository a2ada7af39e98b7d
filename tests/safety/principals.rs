//! What one token's owner has is to another as if it were not there.

use exai_upstream::Ended;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Client, Era, Reply};
use crate::http;
use crate::world::{World, until_journal};

/// Two owners of what is theirs.
struct Owners {
    world: World,
    tokens: [String; 2],
    ann: Client,
    bob: Client,
}

impl Owners {
    async fn start() -> Self {
        let world = World::start().await;
        let mut tokens = [const { String::new() }; 2];
        for (name, token) in ["ann", "bob"].into_iter().zip(&mut tokens) {
            let (code, said) = world.server.run(&["token", "add", name]).await;
            assert_eq!(code, Some(0), "{said}");
            said.lines().next().unwrap().clone_into(token);
        }
        let era = Era::Legacy("2025-11-25");
        let ann = Client::with_token(&world.server, era, &tokens[0]).await;
        let bob = Client::with_token(&world.server, era, &tokens[1]).await;
        Self { world, tokens, ann, bob }
    }
}

/// The headers of a request of this session.
fn of(session: &str) -> [(&'static str, &str); 2] {
    [("Mcp-Session-Id", session), ("MCP-Protocol-Version", "2025-11-25")]
}

/// What an answer says beside the id that was asked for, and its own.
fn without(answer: &Value, id: &str) -> String {
    let mut answer = answer.clone();
    answer["id"] = Value::Null;
    answer.to_string().replace(id, "ID")
}

fn said(reply: &Reply) -> &Value {
    &reply.0
}

#[tokio::test]
async fn anothers_ids_look_exactly_like_unknown_ones() {
    let Owners { world, mut ann, mut bob, .. } = Owners::start().await;
    let asked = ann.begin_keyed(json!({ "prompt": "ann's secret plan" }), "the-key").await;
    let answered = ann.reply(asked).await;
    let (call, conversation) = (answered.of_receipt("call_id"), answered.of_receipt("conversation_id"));
    // A call that runs is as secret as one that has ended.
    world.next("stall-after=2");
    let running = ann.begin_keyed(json!({ "prompt": "ann's next plan" }), "running").await;
    world.until_asked(2).await;
    let rows = "SELECT id AS t FROM calls WHERE idempotency_key = 'running'";
    let live = world.db.texts(rows).await.remove(0);
    let unknown = Uuid::now_v7().to_string();
    let own = ann.call("result", json!({ "call_id": call })).await;
    assert!(!own.is_error(), "{}", own.0);
    let ids = [
        ("result", "call_id", &call),
        ("result", "call_id", &live),
        ("chat", "continuation_id", &conversation),
    ];
    for (tool, name, id) in ids {
        let arguments = |id: &str| match tool {
            "chat" => json!({ "prompt": "go on", name: id }),
            _ => json!({ name: id, "page": 1 }),
        };
        let others = bob.call(tool, arguments(id)).await;
        let nobodys = bob.call(tool, arguments(&unknown)).await;
        assert_eq!(others.kind(), "not_found", "{}", others.0);
        assert_eq!(without(said(&others), id), without(said(&nobodys), &unknown), "{tool}");
    }
    for rest in ["", "?before=2"] {
        let address = |id: &str| json!({ "uri": format!("exai://conversations/{id}{rest}") });
        let own = ann.request("resources/read", address(&conversation)).await;
        assert!(own["result"].is_object(), "{own}");
        let others = bob.request("resources/read", address(&conversation)).await;
        let nobodys = bob.request("resources/read", address(&unknown)).await;
        assert!(others["error"].is_object(), "{others}");
        assert_eq!(without(&others, &conversation), without(&nobodys, &unknown), "{rest}");
    }
    let listed = bob.request("resources/list", json!({})).await.to_string();
    assert!(!listed.contains(&conversation), "{listed}");
    ann.cancel(running).await;
    until_journal(&world.kimi, |sent| sent[1].ended == Ended::ClientClosed).await;
}

#[tokio::test]
async fn what_is_proposed_is_ones_own() {
    let Owners { world: _world, mut ann, mut bob, .. } = Owners::start().await;
    let conversation = ann.chat("ann's plan").await.of_receipt("conversation_id");
    let template = json!({ "type": "ref/resource", "uri": "exai://conversations/{id}{?before}" });
    let prompt = json!({ "type": "ref/prompt", "name": "chat" });
    for (reference, name) in [(template, "id"), (prompt, "continuation_id")] {
        for typed in [&conversation[..8], &conversation] {
            let argument = json!({ "name": name, "value": typed });
            let params = json!({ "ref": reference, "argument": argument });
            let own = ann.request("completion/complete", params.clone()).await;
            assert_eq!(own["result"]["completion"]["values"], json!([conversation]), "{own}");
            let others = bob.request("completion/complete", params.clone()).await;
            assert_eq!(others["result"]["completion"]["values"], json!([]), "{others}");
        }
    }
}

#[tokio::test]
async fn nobody_cancels_anothers_call() {
    let Owners { world, tokens, mut ann, mut bob } = Owners::start().await;
    world.next("delay=1500+tokens=30");
    let running = ann.begin_call("chat", json!({ "prompt": "let me finish" })).await;
    world.until_asked(1).await;
    bob.cancel(running).await;
    bob.fence().await;
    // Over HTTP, by the name of a session that is another's: as by one that is nobody's.
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "over-http", "version": "1" } });
    let hello = http::request(0, "initialize", params).to_string();
    let mut opened = http::send_as(&world.server, &tokens[0], "POST", &[], &hello).await;
    let session = opened.header("mcp-session-id").await.unwrap();
    world.next("delay=1500+tokens=30");
    let prompt = json!({ "name": "chat", "arguments": { "prompt": "me too" } });
    let call = http::request(7, "tools/call", prompt).to_string();
    let mut called = http::send_as(&world.server, &tokens[0], "POST", &of(&session), &call).await;
    world.until_asked(2).await;
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
    for (method, body) in [("POST", cancel.to_string()), ("DELETE", String::new()), ("GET", String::new())] {
        let mut answers = Vec::new();
        for session in [session.clone(), "0".repeat(session.len())] {
            let mut asked = http::send_as(&world.server, &tokens[1], method, &of(&session), &body).await;
            assert_eq!(asked.status().await, 404, "{method}");
            let text = asked.whole().await;
            answers
                .push(text.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n"));
        }
        assert_eq!(answers[0], answers[1], "{method}");
    }
    assert!(!ann.reply(running).await.is_error());
    assert!(called.answer(7).await["result"]["isError"] != true);
    until_journal(&world.kimi, |sent| sent.iter().all(|entry| entry.ended == Ended::Complete)).await;
}

#[tokio::test]
async fn a_key_and_a_question_find_ones_own_answers_alone() {
    let Owners { world, tokens, mut ann, mut bob } = Owners::start().await;
    let question = json!({ "prompt": "the very same question" });
    let asked = ann.begin_keyed(question.clone(), "the-key").await;
    let anns = ann.reply(asked).await.of_receipt("call_id");
    // The same key is another call's, and another question under it no conflict.
    for prompt in [&question, &json!({ "prompt": "bob's own question" })] {
        let key = if prompt == &question { "the-key" } else { "another-key" };
        let asked = bob.begin_keyed(prompt.clone(), key).await;
        assert_ne!(bob.reply(asked).await.of_receipt("call_id"), anns);
    }
    let asked = ann.begin_keyed(json!({ "prompt": "ann's" }), "another-key").await;
    assert!(!ann.reply(asked).await.is_error());
    assert_eq!(world.kimi.journal().len(), 4);
    // An answer that ann never got waits for ann: bob's same question is a new one.
    let lost = json!({ "prompt": "an answer that nobody gets" });
    world.next("delay=300+tokens=30");
    let mut leaves = Client::with_token(&world.server, Era::Legacy("2025-11-25"), &tokens[0]).await;
    leaves.begin_call("chat", lost.clone()).await;
    world.until_asked(5).await;
    drop(leaves);
    world.until_closed().await;
    let bobs = bob.call("chat", lost.clone()).await.of_receipt("call_id");
    assert_eq!(world.kimi.journal().len(), 6, "it was asked for bob");
    let anns = ann.call("chat", lost).await.of_receipt("call_id");
    assert_ne!(anns, bobs);
    assert_eq!(world.kimi.journal().len(), 6, "ann has what was asked for ann");
    let owners = world.db.texts("SELECT DISTINCT principal AS t FROM calls ORDER BY principal").await;
    assert_eq!(owners, ["ann", "bob"]);
}
