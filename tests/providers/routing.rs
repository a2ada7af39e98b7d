//! One host and one key for each provider, from the environment or from `exai.toml`.

use exai_upstream::{Entry, Make, Options, Script, Upstream, key_fingerprint};
use serde_json::json;

use crate::client::Client;
use crate::server::Server;

/// What every request of a journal must have in common.
fn all_with(entries: &[Entry], double: &Upstream, key: &str) {
    for entry in entries {
        assert_eq!(
            (&entry.host, &entry.key_fingerprint),
            (&double.addr().to_string(), &key_fingerprint(key))
        );
    }
}

#[tokio::test]
async fn the_usual_variables_lead_calls_there_and_nowhere_else() {
    let (kimi, glm) = (Upstream::start(Make::Kimi).unwrap(), Upstream::start(Make::Glm).unwrap());
    let server = Server::start(|with| {
        with.set("EXAI_PROVIDERS__KIMI__BASE_URL", &kimi.base_url()).set("MOONSHOT_API_KEY", "x");
        with.set("EXAI_PROVIDERS__GLM__BASE_URL", &glm.base_url()).set("ZAI_API_KEY", "y");
    })
    .await;
    let mut client = Client::connect(&server).await;
    let mut ids = Vec::new();
    for number in 0..30 {
        let model = ["kimi-k2.6", "glm-5.2", "kimi-k3", "glm-4.7"][number % 4];
        ids.push((model, client.begin_call("chat", json!({ "prompt": "where to?", "model": model })).await));
    }
    for (model, id) in ids {
        let reply = client.reply(id).await;
        let own = if model.starts_with("kimi") { &kimi } else { &glm };
        assert_eq!(reply.receipt()["host"], own.addr().to_string(), "{model}");
    }
    let redirect = format!("redirect={}/chat/completions", glm.base_url());
    kimi.push_script(Script::of(&redirect));
    assert_eq!(client.chat("follow me").await.kind(), "upstream_error");
    assert_eq!((kimi.journal().len(), glm.journal().len()), (16, 15));
    all_with(&kimi.journal(), &kimi, "x");
    all_with(&glm.journal(), &glm, "y");
    assert!(kimi.journal().iter().all(|entry| entry.model.starts_with("kimi")));
    assert!(glm.journal().iter().all(|entry| entry.model.starts_with("glm")));
}

#[tokio::test]
async fn a_server_of_another_make_needs_four_lines() {
    let key = "sk-of-another-make".to_owned();
    let guarded = Options { required_key: Some(key.clone()), ..Options::default() };
    let guarded = Upstream::start_with(Make::OpenAi, guarded).unwrap();
    let open = Upstream::start_with(Make::OpenAi, Options { keyless: true, ..Options::default() }).unwrap();
    let config = format!(
        "[providers.mine]\ndialect = \"openai\"\nbase_url = \"{}\"\napi_key_env = \"MY_KEY\"\nmodels = [\"double-1\"]\n
         [providers.local]\ndialect = \"openai\"\nbase_url = \"{}\"\nmodels = [\"tiny\", \"small\"]\n",
        guarded.base_url(),
        open.base_url()
    );
    let server = Server::start(|with| {
        with.config(&config).set("MY_KEY", &key);
    })
    .await;
    let mut client = Client::connect(&server).await;
    for (model, provider, double, key) in
        [("double-1", "mine", &guarded, &*key), ("small", "local", &open, "")]
    {
        let reply = client.call("chat", json!({ "prompt": "who are you?", "model": model })).await;
        let receipt = reply.receipt();
        assert_eq!((&receipt["provider"], &receipt["model_asked"]), (&json!(provider), &json!(model)));
        assert_eq!(receipt["host"], double.addr().to_string());
        assert_eq!(double.journal().len(), 1);
        all_with(&double.journal(), double, key);
    }
    let listed = client.call("listmodels", json!({})).await;
    for words in ["double-1 (mine)", "tiny (local)", "small (local)", "kimi is not in use"] {
        assert!(listed.text().contains(words), "{words} in {}", listed.text());
    }
    assert_eq!(
        client.call("chat", json!({ "prompt": "p", "model": "kimi-k2.6" })).await.kind(),
        "unknown_model"
    );
}

#[tokio::test]
async fn without_any_key_every_call_is_refused_by_name() {
    let server = Server::start(|_| {}).await;
    let mut client = Client::connect(&server).await;
    let refused = client.chat("anyone?").await;
    assert_eq!(refused.kind(), "unknown_model");
    let status = client.call("status", json!({})).await;
    assert!(status.text().contains("MOONSHOT_API_KEY"), "{}", status.text());
}
