//! What outlives a request, a socket and a process: conversations, answers, calls, keys. On both databases.

use exai_upstream::Script;
use serde_json::json;

use crate::client::{Client, Reply};
use crate::database::Database;
use crate::world::World;

on_both! {
    a_conversation_goes_on_after_a_kill,
    an_answer_is_fetched_while_it_runs_and_after_a_kill,
    a_call_outlives_its_socket,
    one_key_is_one_upstream_request,
}

async fn world(db: Database) -> World {
    World::with(db, |_| {}).await
}

async fn go_on(client: &mut Client, from: &Reply, prompt: &str) -> Reply {
    let id = from.of_receipt("conversation_id");
    client.call("chat", json!({ "prompt": prompt, "continuation_id": id })).await
}

async fn fetch(client: &mut Client, call: &str) -> Reply {
    client.call("result", json!({ "call_id": call })).await
}

async fn a_conversation_goes_on_after_a_kill(db: Database) {
    let mut world = world(db).await;
    let mut client = world.client().await;
    let first = client.call("chat", json!({ "prompt": "one", "model": "glm-4.7" })).await;
    let second = go_on(&mut client, &first, "two").await;
    assert_eq!(second.receipt()["turns"], json!({ "used": 2, "sent": 2 }));
    world.server.kill9().await;
    world.server.restart().await;
    let mut client = world.client().await;
    let third = go_on(&mut client, &first, "three").await;
    assert_eq!(third.of_receipt("model_asked"), "glm-4.7", "the conversation keeps its model");
    assert_eq!(third.receipt()["turns"], json!({ "used": 4, "sent": 4 }));
    world.glm.push_script(Script::of("echo"));
    let seen = go_on(&mut client, &first, "four").await;
    let seen = serde_json::from_str::<serde_json::Value>(seen.text()).unwrap();
    let texts = seen["texts"].as_array().unwrap();
    assert_eq!((&texts[0], &texts[2], &texts[6]), (&json!("one"), &json!("two"), &json!("four")));
    assert_eq!(texts[1], first.text(), "what the model said is what it is shown");
    assert!(world.kimi.journal().is_empty());
}

async fn an_answer_is_fetched_while_it_runs_and_after_a_kill(db: Database) {
    let mut world = world(db).await;
    let mut client = world.client().await;
    world.next("delay=700+tokens=30");
    let id = client.begin_call("chat", json!({ "prompt": "fetch me" })).await;
    world.until_asked(1).await;
    let call = world.db.texts("SELECT id AS t FROM calls WHERE state = 'dispatched'").await.pop().unwrap();
    let mut other = world.client().await;
    let while_running = other.begin_call("result", json!({ "call_id": call })).await;
    // Who looks on hears how it goes.
    other.until_progress(while_running).await;
    let first = client.reply(id).await;
    assert_eq!(first.of_receipt("call_id"), call);
    let same = [other.reply(while_running).await, fetch(&mut other, &call).await];
    assert_eq!(same.map(|reply| reply.0), [first.0.clone(), first.0.clone()]);
    world.server.kill9().await;
    world.server.restart().await;
    let mut client = world.client().await;
    assert_eq!(fetch(&mut client, &call).await.0, first.0);
    assert_eq!(world.kimi.journal().len(), 1);
}

async fn a_call_outlives_its_socket(db: Database) {
    let world = world(db).await;
    let mut client = world.client().await;
    world.next("delay=600+tokens=30");
    client.begin_call("chat", json!({ "prompt": "I may be gone" })).await;
    world.until_asked(1).await;
    drop(client);
    let mut client = world.client().await;
    let call = world.db.texts("SELECT id AS t FROM calls").await.pop().unwrap();
    let fetched = fetch(&mut client, &call).await;
    assert!(fetched.text().contains("I may be gone"), "{}", fetched.text());
    client.until_at_rest().await;
    assert_eq!((world.db.states().await, world.kimi.journal().len()), (vec!["completed".to_owned()], 1));
}

async fn one_key_is_one_upstream_request(db: Database) {
    let mut world = world(db).await;
    let (mut client, mut other) = (world.client().await, world.client().await);
    world.next("delay=500+tokens=30");
    let question = json!({ "prompt": "once and only once" });
    let first = client.begin_keyed(question.clone(), "key-1").await;
    world.until_asked(1).await;
    let beside = other.begin_keyed(question.clone(), "key-1").await;
    let (first, beside) = (client.reply(first).await, other.reply(beside).await);
    let again = client.begin_keyed(question.clone(), "key-1").await;
    let again = client.reply(again).await;
    let another = client.begin_keyed(json!({ "prompt": "something else" }), "key-1").await;
    assert_eq!(client.reply(another).await.kind(), "conflict");
    world.server.kill9().await;
    world.server.restart().await;
    let mut client = world.client().await;
    let later = client.begin_keyed(question, "key-1").await;
    let later = client.reply(later).await;
    for reply in [beside, again, later] {
        assert_eq!(reply.0, first.0, "every asker gets the same answer");
    }
    assert_eq!(world.kimi.journal().len(), 1);
    let bad = client.begin_keyed(json!({ "prompt": "p" }), "two words").await;
    assert_eq!(client.reply(bad).await.kind(), "invalid_arguments");
    let fresh = client.begin_keyed(json!({ "prompt": "p" }), "key-2").await;
    assert!(!client.reply(fresh).await.is_error());
    assert_eq!(world.kimi.journal().len(), 2);
}
