//! Every tool as a slash command, and what is proposed while its arguments are typed.

use serde_json::{Value, json};

use crate::client::{Client, Era};
use crate::world::World;

const ERAS: [Era; 2] = [Era::Legacy("2025-11-25"), Era::Modern];

async fn proposed(client: &mut Client, of: Value, name: &str, typed: &str) -> Vec<String> {
    let params = json!({ "ref": of, "argument": { "name": name, "value": typed } });
    let answer = client.request("completion/complete", params).await;
    let values = answer["result"]["completion"]["values"].as_array();
    let values = values.unwrap_or_else(|| panic!("no completion: {answer}"));
    values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_tool_is_a_prompt_in_both_eras() {
    let world = World::start().await;
    for era in ERAS {
        let mut client = Client::of(&world.server, era).await;
        let tools = client.request("tools/list", json!({})).await;
        let prompts = client.request("prompts/list", json!({})).await["result"].clone();
        let names =
            |of: &Value| of.as_array().unwrap().iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&prompts["prompts"]), names(&tools["result"]["tools"]));
        let is_modern = era == Era::Modern;
        assert!(!is_modern || prompts["ttlMs"].is_u64() && prompts["cacheScope"] == "public", "{prompts}");
        let chat = &prompts["prompts"][0];
        assert_eq!(
            (&chat["arguments"][0]["name"], &chat["arguments"][0]["required"]),
            (&json!("prompt"), &json!(true))
        );
        for argument in chat["arguments"].as_array().unwrap() {
            assert!(argument["description"].as_str().is_some_and(|text| text.len() > 10), "{argument}");
        }
        let given = json!({ "name": "chat", "arguments": { "prompt": "why?", "model": "kimi" } });
        let got = client.request("prompts/get", given).await["result"].clone();
        let message = &got["messages"][0];
        assert_eq!(
            (&message["role"], &message["content"]["type"]),
            (&json!("user"), &json!("text")),
            "{got}"
        );
        let words = message["content"]["text"].as_str().unwrap();
        assert!(words.contains("`chat`") && words.contains(r#""prompt":"why?""#), "{words}");
        for wrong in [
            json!({ "name": "nothing" }),
            json!({ "name": "chat" }),
            json!({ "name": "chat", "arguments": { "prompt": "x", "colour": "red" } }),
        ] {
            let refused = client.request("prompts/get", wrong).await;
            assert_eq!(refused["error"]["code"], -32602, "{refused}");
        }
        let cursor = client.request("prompts/list", json!({ "cursor": "elsewhere" })).await;
        assert_eq!(cursor["error"]["code"], -32602, "{cursor}");
    }
    assert!(world.kimi.journal().is_empty(), "a prompt asks nobody");
}

#[tokio::test]
async fn models_and_own_conversations_are_proposed() {
    let world = World::start().await;
    for era in ERAS {
        let mut client = Client::of(&world.server, era).await;
        let conversation = client.chat("remember this").await.of_receipt("conversation_id");
        let chat = json!({ "type": "ref/prompt", "name": "chat" });
        let models = proposed(&mut client, chat.clone(), "model", "kimi-k2").await;
        assert!(models[0].starts_with("kimi-k2") && models.len() > 1, "{models:?}");
        assert!(proposed(&mut client, chat.clone(), "model", "no such model").await.is_empty());
        let begun = &conversation[..conversation.len() - 2];
        assert_eq!(
            proposed(&mut client, chat.clone(), "continuation_id", begun).await,
            [conversation.as_str()]
        );
        assert!(proposed(&mut client, chat.clone(), "continuation_id", "%").await.is_empty());
        assert!(proposed(&mut client, chat, "prompt", "why").await.is_empty());
        let template = json!({ "type": "ref/resource", "uri": "exai://conversations/{id}{?before}" });
        assert_eq!(proposed(&mut client, template, "id", begun).await, [conversation]);
        let unknown = json!({ "ref": { "type": "ref/prompt", "name": "no" }, "argument": { "name": "x", "value": "" } });
        let unknown = client.request("completion/complete", unknown).await;
        assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    }
}
