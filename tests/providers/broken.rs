//! Everything that can go wrong with a stream.

use exai_upstream::{Script, Upstream};
use serde_json::json;

use crate::database::Database;
use crate::world::World;

/// Script and kind: what each fault is to the caller.
const FAULTS: &[(&str, &str)] = &[
    ("cut-after=4", "upstream_error"),
    ("eof-after=4", "upstream_error"),
    ("reset-after=4", "upstream_error"),
    ("garbage-after=4", "upstream_error"),
    ("error-after=4", "upstream_error"),
    ("garbage", "upstream_error"),
    ("html", "upstream_error"),
    ("wrong-type", "upstream_error"),
    ("hang-up", "upstream_error"),
    ("reset", "upstream_error"),
    ("endless", "upstream_error"),
    ("huge=9000000", "upstream_error"),
    ("tokens=0", "upstream_error"),
    ("finish=sensitive", "upstream_rejected"),
    ("tokens=0+finish=length", "upstream_rejected"),
    ("stall-after=4", "upstream_timeout"),
    ("delay=30000", "upstream_timeout"),
    ("slow-headers=30000", "upstream_timeout"),
];
const PROMPT: &str = "a prompt that nobody may quote";

#[tokio::test]
async fn every_fault_is_a_typed_error_and_gives_everything_back() {
    let world = World::with(Database::sqlite(), |with| {
        for provider in ["KIMI", "GLM"] {
            for timeout in ["IDLE", "FIRST_BYTE"] {
                with.set(&format!("EXAI_PROVIDERS__{provider}__{timeout}_TIMEOUT_S"), "3");
            }
        }
        with.set("EXAI_LIMITS__BURST", "1000");
    })
    .await;
    let kimi = each_fault(&world, "kimi", "kimi-k2.6", &world.kimi);
    let glm = each_fault(&world, "glm", "glm-5.2", &world.glm);
    tokio::join!(kimi, glm);
    let mut client = world.client().await;
    client.until_at_rest().await;
    world.until_closed().await;
    let mut states = world.db.states().await;
    states.sort();
    states.dedup();
    assert_eq!(states, ["completed", "failed"]);
    assert_eq!(world.db.number("SELECT count(*) AS n FROM messages").await, 4, "a failure is no turn");
}

async fn each_fault(world: &World, provider: &str, model: &str, double: &Upstream) {
    let mut client = world.client().await;
    for (fault, kind) in FAULTS {
        double.set_default(Script::of(&format!("think=1+pace=0+{fault}")));
        world.server.reset_breakers(provider).await;
        let asked = double.journal().len();
        let question = json!({ "prompt": PROMPT, "model": model, "max_tokens": 200 });
        let reply = client.call("chat", question).await;
        assert_eq!(reply.kind(), *kind, "{model} {fault}: {}", reply.0);
        assert_eq!(reply.error()["detail"]["host"], double.addr().to_string(), "{fault}");
        let requests = double.journal().len() - asked;
        match *fault {
            // Nothing had come of these: a dead connection of the pool, and no head of an answer in time.
            "hang-up" => assert!((1..=2).contains(&requests), "{fault}: {requests}"),
            "slow-headers=30000" => assert_eq!(requests, 3, "{fault}"),
            _ => assert_eq!(requests, 1, "{model} {fault} may have run, and is not sent again"),
        }
        let shown = reply.0.to_string();
        for words in [PROMPT, "This is the double", "Welcome", "nginx"] {
            assert!(!shown.contains(words), "{model} {fault}: {shown}");
        }
    }
    double.set_default(Script::default());
    world.server.reset_breakers(provider).await;
    let good = client.call("chat", json!({ "prompt": "and now?", "model": model })).await;
    assert!(good.text().contains("and now?"), "{}", good.0);
}

#[tokio::test]
async fn a_failure_leaves_its_conversation_as_it_was() {
    let world = World::start().await;
    let mut client = world.client().await;
    let first = client.chat("one").await;
    let thread = first.of_receipt("conversation_id");
    world.next("cut-after=3");
    let failed = client.call("chat", json!({ "prompt": "two", "continuation_id": thread })).await;
    assert_eq!(failed.kind(), "upstream_error");
    let third = client.call("chat", json!({ "prompt": "three", "continuation_id": thread })).await;
    assert_eq!(third.receipt()["turns"], json!({ "used": 2, "sent": 2 }));
}
