//! What can be read beside the tools, in all three versions of the protocol.

use super::*;

const NOWHERE: &str = "exai://nowhere";

fn request(version: &str, id: i64, method: &str, params: Value) -> Value {
    match version {
        "2026-07-28" => modern(json!(id), method, params),
        _ => json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }),
    }
}

#[actix_web::test]
async fn breakers_are_listed_and_read_in_every_version() {
    let server = Server::start().await.unwrap();
    for (version, not_found) in [("2025-06-18", -32002), ("2025-11-25", -32002), ("2026-07-28", -32602)] {
        let is_modern = version == "2026-07-28";
        let mut ws = server.connect().await.unwrap();
        let capabilities = if is_modern {
            ask(&mut ws, modern(json!(0), "server/discover", json!({}))).await.unwrap()
        } else {
            ask(&mut ws, initialize(version)).await.unwrap()
        }["result"]["capabilities"]
            .clone();
        assert!(capabilities["resources"].is_object() && capabilities["tools"].is_object(), "{capabilities}");
        let listed = ask(&mut ws, request(version, 1, "resources/list", json!({}))).await.unwrap();
        let resources = listed["result"]["resources"].as_array().unwrap().clone();
        assert_eq!(resources.len(), 2, "{version}: {listed}");
        assert_eq!(resources[0]["uri"], "exai://breakers");
        assert_eq!(resources[0]["mimeType"], "application/json");
        let templates = request(version, 2, "resources/templates/list", json!({}));
        let templates = ask(&mut ws, templates).await.unwrap();
        let template = &templates["result"]["resourceTemplates"][0]["uriTemplate"];
        assert_eq!(template, "exai://conversations/{id}{?before}", "{version}: {templates}");
        let read = request(version, 3, "resources/read", json!({ "uri": "exai://breakers" }));
        let read = ask(&mut ws, read).await.unwrap();
        let contents = &read["result"]["contents"][0];
        assert_eq!(
            (&contents["uri"], &contents["mimeType"]),
            (&resources[0]["uri"], &resources[0]["mimeType"])
        );
        let text = serde_json::from_str::<Value>(contents["text"].as_str().unwrap()).unwrap();
        assert!(text["providers"].is_object(), "{version}: {text}");
        for result in [&listed, &templates, &read] {
            let hints = (result["result"]["ttlMs"].is_u64(), result["result"]["cacheScope"].is_string());
            assert!(!is_modern || hints == (true, true), "{version}: {result}");
            assert_eq!(result["result"].get("resultType").is_some(), is_modern, "{version}: {result}");
        }
        let unknown = request(version, 4, "resources/read", json!({ "uri": NOWHERE }));
        let unknown = ask(&mut ws, unknown).await.unwrap();
        assert_eq!(unknown["error"]["code"], not_found, "{version}: {unknown}");
        assert_eq!(unknown["error"]["data"]["uri"], NOWHERE, "{version}: {unknown}");
    }
}
