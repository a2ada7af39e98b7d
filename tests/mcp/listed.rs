//! The models that providers themselves list: taken up without anybody waiting for it, missed without harm.

use std::time::Duration;

use exai_actors::clock;
use exai_upstream::{Make, Script, Upstream};
use serde_json::json;

use crate::client::Client;
use crate::server::{SOON, Server};

async fn server(double: &Upstream) -> Server {
    let url = double.base_url();
    Server::start(|with| {
        with.config(&format!(
            "[providers.local]\ndialect = \"openai\"\nbase_url = \"{url}\"\nmodels = [\"mine\"]\napi_key = \"sk-local\"\n"
        ));
    })
    .await
}

async fn listed(client: &mut Client) -> String {
    client.call("listmodels", json!({})).await.text().to_owned()
}

#[tokio::test]
async fn what_a_provider_lists_can_be_asked() {
    let double = Upstream::start(Make::OpenAi).unwrap();
    let server = server(&double).await;
    let mut client = Client::connect(&server).await;
    let by = clock::now() + SOON;
    while !listed(&mut client).await.contains("double-1 (local)") {
        assert!(clock::now() < by, "{}", listed(&mut client).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(listed(&mut client).await.ends_with("Default: mine"));
    let answer = client.call("chat", json!({ "prompt": "who are you?", "model": "double-1" })).await;
    assert_eq!(answer.of_receipt("model_served"), "double-1");
    let unknown = client.call("chat", json!({ "prompt": "who?", "model": "dubble-1" })).await;
    assert_eq!(unknown.kind(), "unknown_model");
    assert!(unknown.text().contains("did you mean double-1?"), "{}", unknown.text());
    assert_eq!((double.listings().len(), double.journal().len()), (1, 1));
}

#[tokio::test]
async fn a_list_that_fails_or_hangs_holds_nothing_up() {
    for script in ["refuse=503", "slow-headers=600000", "html"] {
        let double = Upstream::start(Make::OpenAi).unwrap();
        double.push_script_to("/models", Script::of(script));
        let server = server(&double).await;
        let mut client = Client::connect(&server).await;
        let by = clock::now() + SOON;
        while double.listings().is_empty() {
            assert!(clock::now() < by, "nobody asked");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!client.call("chat", json!({ "prompt": "well?" })).await.is_error(), "{script}");
        let listed = listed(&mut client).await;
        assert!(listed.contains("mine (local)") && !listed.contains("double-1"), "{script}: {listed}");
        let output = server.output();
        let complaints = output.lines().filter(|line| line.contains("the list of models stays"));
        assert!(complaints.count() <= 1, "{output}");
    }
}
