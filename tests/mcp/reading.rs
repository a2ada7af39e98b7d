//! What can be read beside the tools: conversations, each principal's own alone, page by page; and the models.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::client::{Client, Era};
use crate::database::Database;
use crate::world::World;

async fn read(client: &mut Client, uri: &str) -> Value {
    let answer = client.request("resources/read", json!({ "uri": uri })).await;
    let text = answer["result"]["contents"][0]["text"].as_str();
    serde_json::from_str(text.unwrap_or_else(|| panic!("not read: {answer}"))).unwrap()
}

#[tokio::test]
async fn a_conversation_is_listed_and_read_in_both_eras() {
    let world = World::start().await;
    for era in [Era::Legacy("2025-11-25"), Era::Modern] {
        let mut client = Client::of(&world.server, era).await;
        let first = client.chat("the first question").await;
        let id = first.of_receipt("conversation_id");
        client.call("chat", json!({ "prompt": "the second question", "continuation_id": id })).await;
        let uri = format!("exai://conversations/{id}");
        let listed = client.request("resources/list", json!({})).await["result"].clone();
        let uris: Vec<_> =
            listed["resources"].as_array().unwrap().iter().map(|one| one["uri"].clone()).collect();
        assert_eq!(uris[..3], [json!("exai://breakers"), json!("exai://models"), json!(uri)], "{listed}");
        assert!(era != Era::Modern || listed["cacheScope"] == "private" && listed["ttlMs"] == 0, "{listed}");
        let whole = read(&mut client, &uri).await;
        let texts: Vec<_> =
            whole["messages"].as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap()).collect();
        assert_eq!(
            (texts.len(), texts[0], texts[2]),
            (4, "the first question", "the second question"),
            "{whole}"
        );
        assert_eq!((texts[1], &whole["older"], &whole["turns"]), (first.text(), &Value::Null, &json!(4)));
        let older = read(&mut client, &format!("{uri}?before=3")).await;
        assert_eq!(older["messages"].as_array().unwrap().len(), 2, "{older}");
        let models = read(&mut client, "exai://models").await;
        assert!(
            models["models"].as_array().unwrap().iter().any(|model| model["id"] == "kimi-k2.6"),
            "{models}"
        );
    }
}

on_both! {
    someone_elses_conversation_looks_like_none,
}

async fn someone_elses_conversation_looks_like_none(db: Database) {
    let world = World::with(db, |_| {}).await;
    for (era, not_found) in [(Era::Legacy("2025-11-25"), -32002), (Era::Modern, -32602)] {
        let mut client = Client::of(&world.server, era).await;
        let id = client.chat("a secret").await.of_receipt("conversation_id");
        read(&mut client, &format!("exai://conversations/{id}")).await;
        // There is one token yet, so the other principal is made where principals are kept.
        let taken = format!(
            "UPDATE conversations SET principal = 'someone else' WHERE id = '{id}' RETURNING id AS t"
        );
        assert_eq!(world.db.texts(&taken).await, [id.as_str()]);
        let mut refusals = HashSet::new();
        for uri in [id.as_str(), "0197f2c4-9d5e-7cc1-8a6b-0f5a2f3e4d5c"] {
            let uri = format!("exai://conversations/{uri}");
            let answer = client.request("resources/read", json!({ "uri": uri })).await;
            assert_eq!(
                (&answer["error"]["code"], &answer["error"]["data"]["uri"]),
                (&json!(not_found), &json!(uri))
            );
            let mut error = answer["error"].clone();
            error["data"]["uri"].take();
            refusals.insert(error.to_string());
        }
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        let listed = client.request("resources/list", json!({})).await;
        assert!(!listed.to_string().contains(&id), "{listed}");
        let chat = json!({ "type": "ref/prompt", "name": "chat" });
        let params = json!({ "ref": chat, "argument": { "name": "continuation_id", "value": id } });
        let proposed = client.request("completion/complete", params).await;
        assert_eq!(proposed["result"]["completion"]["values"], json!([]), "{proposed}");
    }
}

#[tokio::test]
async fn a_long_list_is_given_by_pages() {
    let world = World::start().await;
    let mut client = world.client().await;
    let mut own = HashSet::new();
    for n in 0..53 {
        own.insert(client.chat(&format!("question {n}")).await.of_receipt("conversation_id"));
    }
    let mut seen = Vec::new();
    let mut params = json!({});
    let mut pages = 0;
    loop {
        let page = client.request("resources/list", params).await["result"].clone();
        pages += 1;
        let uris = page["resources"].as_array().unwrap();
        seen.extend(
            uris.iter().filter_map(|one| {
                Some(one["uri"].as_str()?.strip_prefix("exai://conversations/")?.to_owned())
            }),
        );
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        params = json!({ "cursor": cursor });
    }
    assert_eq!((pages, seen.len()), (2, 53));
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), own);
    let wrong = client.request("resources/list", json!({ "cursor": "2.x" })).await;
    assert_eq!(wrong["error"]["code"], -32602, "{wrong}");
}
