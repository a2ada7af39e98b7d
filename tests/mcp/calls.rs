//! One call at a time: its receipt, its progress, its mistakes, its cancel.

use std::time::Duration;

use exai_actors::clock;
use exai_upstream::{Ended, key_fingerprint};
use serde_json::{Value, json};

use crate::eras::figure;
use crate::world::{World, until_journal};

/// How soon a cancel must have closed the upstream's socket.
const CANCEL_WITHIN: Duration = Duration::from_millis(100);
/// How soon a caller hears that it was heard.
const AT_ONCE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn the_receipt_names_who_really_answered() {
    let world = World::start().await;
    let mut client = world.client().await;
    for (model, provider, double, key) in
        [("kimi-k2.6", "kimi", &world.kimi, "sk-KIMI"), ("glm-5.2", "glm", &world.glm, "sk-GLM")]
    {
        let reply = client.call("chat", json!({ "prompt": "who are you?", "model": model })).await;
        let receipt = reply.receipt();
        assert_eq!((&receipt["provider"], &receipt["model_asked"]), (&json!(provider), &json!(model)));
        assert_eq!((&receipt["model_served"], &receipt["tool"]), (&json!(model), &json!("chat")));
        assert_eq!(receipt["host"], double.addr().to_string());
        let entry = double.journal().pop().unwrap();
        assert_eq!((entry.host, entry.key_fingerprint), (double.addr().to_string(), key_fingerprint(key)));
        assert_eq!(receipt["key_fingerprint"], key_fingerprint(key));
        assert_eq!(receipt["tokens"]["prompt"], entry.prompt_tokens);
        assert_eq!((&receipt["attempts"], &receipt["cached"]), (&json!(1), &json!(false)));
        let blocks = reply.0["content"].as_array().unwrap();
        let line = blocks[1]["text"].as_str().unwrap();
        assert_eq!(blocks.len(), 2);
        for words in [model, &double.addr().to_string(), &reply.of_receipt("call_id")] {
            assert!(line.contains(words) && !reply.text().contains(words), "{words} in {blocks:?}");
        }
    }
    assert_eq!((world.kimi.journal().len(), world.glm.journal().len()), (1, 1));
}

#[tokio::test]
async fn progress_comes_at_once_rises_and_ends_with_the_answer() {
    let world = World::start().await;
    let mut client = world.client().await;
    world.next("delay=1300+think=2+pace=300+tokens=12");
    let asked = clock::now();
    let id = client.begin_call("chat", json!({ "prompt": "slowly, please" })).await;
    client.until_progress(id).await;
    assert!(clock::now() - asked < AT_ONCE, "{:?}", clock::now() - asked);
    client.reply(id).await;
    client.fence().await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    client.fence().await;
    let told = client.progress(id);
    let numbers = told.iter().map(|told| told["progress"].as_f64().unwrap()).collect::<Vec<_>>();
    assert!(numbers.len() >= 3 && numbers.is_sorted_by(|one, next| one < next), "{told:?}");
    assert!(client.about(id).last().unwrap()["result"].is_object(), "something came after the answer");
    let words = told.iter().map(|told| told["message"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(words.iter().any(|words| words.starts_with("waiting for the model")), "{words:?}");
    assert!(
        words.iter().any(|words| words.starts_with("answering") && words.ends_with("tokens")),
        "{words:?}"
    );
    // Who gives no token hears nothing.
    world.next("delay=300+tokens=2");
    let quiet = json!({ "name": "chat", "arguments": { "prompt": "quietly" } });
    let before = client.seen.len();
    client.request("tools/call", quiet).await;
    assert_eq!(client.seen.len(), before + 1);
}

#[tokio::test]
async fn wrong_arguments_are_named_and_cost_nothing() {
    let world = World::start().await;
    let mut client = world.client().await;
    let table = [
        ("chat", json!({}), "prompt"),
        ("chat", json!({ "prompt": " " }), "prompt"),
        ("chat", json!({ "prompt": 7 }), "prompt"),
        ("chat", json!({ "prompt": "p", "model": 7 }), "model"),
        ("chat", json!({ "prompt": "p", "temperature": 3 }), "temperature"),
        ("chat", json!({ "prompt": "p", "thinking": "yes" }), "thinking"),
        ("chat", json!({ "prompt": "p", "max_tokens": 0 }), "max_tokens"),
        ("chat", json!({ "prompt": "p", "max_tokens": 1_000_000 }), "max_tokens"),
        ("chat", json!({ "prompt": "p", "continuation_id": "mine" }), "continuation_id"),
        ("chat", json!({ "promt": "p", "prompt": "p" }), "promt"),
        ("result", json!({}), "call_id"),
        ("result", json!({ "call_id": 7 }), "call_id"),
        ("status", json!({ "verbose": true }), "verbose"),
    ];
    for (tool, arguments, name) in table {
        let reply = client.call(tool, arguments.clone()).await;
        assert_eq!(reply.kind(), "invalid_arguments", "{arguments}");
        assert!(reply.text().contains(name), "{arguments}: {}", reply.text());
    }
    assert!(world.kimi.journal().is_empty() && world.glm.journal().is_empty());
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, 0);
}

#[tokio::test]
async fn what_does_not_exist_is_typed() {
    let world = World::start().await;
    let mut client = world.client().await;
    let unknown = client.request("tools/call", json!({ "name": "chatt", "arguments": {} })).await;
    assert_eq!(
        (&unknown["error"]["code"], &unknown["error"]["data"]["kind"]),
        (&json!(-32602), &json!("unknown_tool"))
    );
    assert_eq!(client.request("tools/kall", json!({})).await["error"]["code"], -32601);
    assert_eq!(
        client.request("resources/subscribe", json!({ "uri": "exai://models" })).await["error"]["code"],
        -32601
    );
    let model = client.call("chat", json!({ "prompt": "p", "model": "gpt-0" })).await;
    assert_eq!(model.kind(), "unknown_model");
    let nobody = "01890000-0000-7000-8000-000000000000";
    assert_eq!(client.call("result", json!({ "call_id": nobody })).await.kind(), "not_found");
    let lost = client.call("chat", json!({ "prompt": "p", "continuation_id": nobody })).await;
    assert_eq!(lost.kind(), "not_found");
    assert!(world.kimi.journal().is_empty());
}

#[tokio::test]
async fn the_server_tells_of_itself() {
    let world = World::start().await;
    let mut client = world.client().await;
    client.chat("something to count").await;
    let models = client.call("listmodels", json!({})).await;
    let listed = models.0["structuredContent"]["models"].as_array().unwrap().clone();
    let ids = listed.iter().map(|model| model["id"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(ids.contains(&"kimi-k2.6") && ids.contains(&"glm-5.2"), "{ids:?}");
    assert!(ids.iter().all(|id| models.text().contains(id)), "{}", models.text());
    let version = client.call("version", json!({})).await;
    assert_eq!(version.0["structuredContent"]["version"], env!("CARGO_PKG_VERSION"));
    // The sums are published once a second.
    let counted = async {
        loop {
            let status = client.call("status", json!({})).await;
            if status.0["structuredContent"]["counters"]["calls"]["completed"] == 1 {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(10), counted).await.expect("the call is counted");
    let facts: &Value = &status.0["structuredContent"];
    assert_eq!(
        (&facts["counters"]["calls"]["completed"], &facts["load"]["in_flight"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(facts["counters"]["upstream"]["kimi:completed"], 1);
    assert_eq!(facts["components"]["storage"]["status"], "ok");
    assert!(!status.0.to_string().contains("sk-KIMI"), "{}", status.0);
}

#[tokio::test]
async fn a_cancel_closes_the_upstream_and_ends_the_talk() {
    let world = World::start().await;
    let mut client = world.client().await;
    for (number, script) in
        ["slow-headers=30000", "delay=30000", "tokens=10000+pace=20"].into_iter().enumerate()
    {
        world.next(script);
        let id = client.begin_call("chat", json!({ "prompt": "never mind" })).await;
        world.until_asked(number + 1).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.fence().await;
        let heard = client.about(id).len();
        let cancelled = clock::now();
        client.cancel(id).await;
        until_journal(&world.kimi, |entries| entries[number].ended == Ended::ClientClosed).await;
        let took = clock::now() - cancelled;
        figure(&format!("cancel during {script}: upstream closed after {took:?}"));
        assert!(took < CANCEL_WITHIN, "{script}: {took:?}");
        tokio::time::sleep(Duration::from_millis(1200)).await;
        client.fence().await;
        assert_eq!(client.about(id).len(), heard, "{script}: something came after the cancel");
    }
    client.until_at_rest().await;
    world.until_closed().await;
    assert_eq!(world.db.states().await, ["cancelled"; 3]);
    client.cancel(4711).await;
    client.fence().await;
}
