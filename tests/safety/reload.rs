//! Settings that change under a running daemon.

use exai_actors::clock;
use exai_upstream::{Script, key_fingerprint};
use serde_json::{Value, json};

use crate::client::Client;
use crate::database::Database;
use crate::server::SOON;
use crate::world::World;

/// A world whose Kimi has its key from `exai.toml`.
async fn start(key: &str, global: usize) -> World {
    World::with(Database::sqlite(), |with| {
        with.set("EXAI_PROVIDERS__KIMI__API_KEY", "");
        with.config(&settings(key, global));
    })
    .await
}

fn settings(key: &str, global: usize) -> String {
    format!("[providers.kimi]\napi_key = \"{key}\"\n[limits]\nglobal = {global}\n")
}

async fn limit(client: &mut Client) -> Value {
    let load = client.call("status", json!({})).await.0["structuredContent"]["load"].clone();
    let permits = load["permits"].as_array().unwrap();
    permits.iter().find(|permit| permit["scope"] == "global").unwrap()["limit"].clone()
}

#[tokio::test]
async fn a_new_key_and_new_limits_cost_no_running_call() {
    let world = start("sk-one", 20).await;
    let mut client = world.client().await;
    let mut running = Vec::new();
    for number in 0..6 {
        world.next("delay=1500+tokens=30");
        running.push(client.begin_call("chat", json!({ "prompt": format!("slow {number}") })).await);
    }
    world.until_asked(6).await;
    world.server.write_config(&settings("sk-two", 30));
    let (code, said) = world.server.run(&["reload"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("changed: providers.kimi.api_key") && said.contains("changed: limits.global"),
        "{said}"
    );
    assert!(!said.contains("sk-"), "{said}");
    let after = client.chat("after").await;
    let fingerprint = key_fingerprint("sk-two");
    assert_eq!(after.of_receipt("key_fingerprint")[..8], fingerprint[..8]);
    for id in running {
        let reply = client.reply(id).await;
        assert_eq!(reply.of_receipt("key_fingerprint")[..8], key_fingerprint("sk-one")[..8]);
    }
    assert_eq!(limit(&mut client).await, 30);
    let journal = world.kimi.journal();
    assert_eq!(journal.len(), 7);
    assert_eq!(journal.iter().filter(|entry| entry.key_fingerprint == fingerprint).count(), 1);
    client.until_at_rest().await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_names_the_line() {
    let world = start("sk-one", 20).await;
    let mut client = world.client().await;
    world.server.write_config("[limits]\nglobal = 30\nglobule = 1\n");
    let (code, said) = world.server.run(&["reload"]).await;
    assert_ne!(code, Some(0), "{said}");
    let (status, body) = world.server.post_dashboard("/api/reload").await;
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("Nothing has changed") && body.contains("line 3"), "{body}");
    world.server.sighup();
    let by = clock::now() + SOON;
    while !world.server.output().contains("nothing was reloaded") {
        assert!(clock::now() < by, "the hangup was not heard");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(limit(&mut client).await, 20);
    assert_eq!(client.chat("still there?").await.of_receipt("provider"), "kimi");
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn what_one_provider_does_not_take_is_said_and_holds_up_no_other() {
    let both =
        |key: &str, global: usize| format!("{}[providers.glm]\napi_key = \"{key}\"\n", settings(key, global));
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_PROVIDERS__KIMI__API_KEY", "").set("EXAI_PROVIDERS__GLM__API_KEY", "");
        with.config(&both("sk-one", 20));
    })
    .await;
    let mut client = world.client().await;
    assert_eq!(world.server.post("/faults/rekey").await, 204);
    world.server.write_config(&both("sk-two", 30));
    let (code, said) = world.server.run(&["reload"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("changed: limits.global") && !said.contains("sk-"), "{said}");
    let has = |provider: &str| said.contains(&format!("changed: providers.{provider}.api_key"));
    assert!(has("kimi") != has("glm"), "one of them: {said}");
    let (done, left) = if has("kimi") { ("kimi", "glm") } else { ("glm", "kimi") };
    let why = format!("Not known to be in force: providers.{left}.api_key (the actor dropped the message).");
    assert!(said.contains(&why), "{said}");
    assert_eq!(limit(&mut client).await, 30);
    let mut key_of = async |provider: &str| {
        let model = if provider == "kimi" { "kimi-k2.6" } else { "glm-5.2" };
        let reply = client.call("chat", json!({ "prompt": "which key?", "model": model })).await;
        assert_eq!(reply.of_receipt("provider"), provider);
        reply.of_receipt("key_fingerprint")[..8].to_owned()
    };
    let prints = ["sk-one", "sk-two"].map(|key| key_fingerprint(key)[..8].to_owned());
    assert_eq!([key_of(left).await, key_of(done).await], prints);
    let (code, said) = world.server.run(&["reload"]).await;
    assert_eq!((code, said.trim()), (Some(0), format!("changed: providers.{left}.api_key").as_str()));
    assert_eq!(key_of(left).await, prints[1]);
}

#[tokio::test]
async fn what_waits_for_a_restart_is_named() {
    let world = start("sk-one", 20).await;
    world.server.write_config(&format!("{}drain_s = 3\n[log]\nformat = \"json\"\n", settings("sk-one", 20)));
    let (status, body) = world.server.post_dashboard("/api/reload").await;
    let told = serde_json::from_str::<Value>(&body).unwrap();
    assert_eq!((status, &told["changed"]), (200, &json!([])), "{body}");
    assert_eq!(told["restart"], json!(["log", "limits.drain_s"]));
}

#[tokio::test]
async fn a_new_key_frees_a_parked_provider() {
    let world = start("sk-one", 20).await;
    let mut client = world.client().await;
    world.kimi.push_script(Script::of("refuse=auth"));
    assert_eq!(client.chat("who am I?").await.kind(), "upstream_rejected");
    let parked = client.chat("and now?").await;
    assert!(parked.is_error(), "{}", parked.0);
    assert_eq!(world.kimi.journal().len(), 1, "a parked provider is left alone");
    world.server.write_config(&settings("sk-two", 20));
    world.server.sighup();
    let by = clock::now() + SOON;
    while !world.server.output().contains("reloaded") {
        assert!(clock::now() < by, "the hangup was not heard");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(!client.chat("and with the new key?").await.is_error());
}
