//! An answer that is longer than its client takes comes by pages, and is whole when they are joined.

use serde_json::json;

use crate::client::{Client, Era, Reply};
use crate::eras::figure;
use crate::world::World;

/// Characters that a page has at most: four for each of four fifths of 25 000 tokens.
const PAGE_CHARS_MAX: usize = 80_000;

/// All pages of a call from its first; what they say of themselves is checked.
async fn rest(client: &mut Client, first: &Reply) -> Vec<String> {
    let call = first.of_receipt("call_id");
    let of =
        first.receipt()["page"]["of"].as_u64().unwrap_or_else(|| panic!("one page: {}", first.receipt()));
    let mut pages = vec![first.text().to_owned()];
    for number in 2..=of {
        let line = first.0["content"][1]["text"].as_str().unwrap();
        assert!(line.contains(&format!("page 1 of {of}")) && line.contains(&call), "{line}");
        let page = client.call("result", json!({ "call_id": call, "page": number })).await;
        assert_eq!(page.receipt()["page"], json!({ "number": number, "of": of }));
        let goes_on = page.0["content"][1]["text"].as_str().unwrap().contains("goes on");
        assert_eq!(goes_on, number < of);
        pages.push(page.text().to_owned());
    }
    assert!(pages.iter().all(|page| !page.is_empty() && page.chars().count() <= PAGE_CHARS_MAX));
    let beyond = client.call("result", json!({ "call_id": call, "page": of + 1 })).await;
    assert_eq!(beyond.kind(), "invalid_arguments", "{}", beyond.text());
    pages
}

#[tokio::test]
async fn a_long_answer_is_whole_when_its_pages_are_joined() {
    let world = World::start().await;
    let mut client = world.client().await;
    world.next("tokens=60000+pace=0");
    let first = client.chat("tell me everything").await;
    let pages = rest(&mut client, &first).await;
    let call = first.of_receipt("call_id");
    let stored = format!("SELECT result AS t FROM calls WHERE id = '{call}'");
    let whole = world.db.texts(&stored).await.remove(0);
    figure(&format!("{} bytes in {} pages", whole.len(), pages.len()));
    assert!(pages.len() > 1 && pages.concat() == whole);
    // Characters of one to four bytes, without a line's end to stop at.
    let odd = "\u{4eba}e\u{e9}\u{1f600}".repeat(30_000);
    let put = format!("UPDATE calls SET result = '{odd}' WHERE id = '{call}' RETURNING id AS t");
    assert_eq!(world.db.texts(&put).await, [call.as_str()]);
    let first = client.call("result", json!({ "call_id": call })).await;
    assert!(rest(&mut client, &first).await.concat() == odd);
    for wrong in [json!(0), json!("1"), json!(1.5), json!(-1)] {
        let refused = client.call("result", json!({ "call_id": call, "page": wrong })).await;
        assert_eq!(refused.kind(), "invalid_arguments", "{wrong}");
    }
}

#[tokio::test]
async fn a_short_answer_has_no_pages() {
    let world = World::start().await;
    let mut client = world.client().await;
    let reply = client.chat("briefly").await;
    assert!(reply.receipt().get("page").is_none(), "{}", reply.receipt());
    let call = reply.of_receipt("call_id");
    let again = client.call("result", json!({ "call_id": call, "page": 1 })).await;
    assert_eq!(again.text(), reply.text());
}

/// What every client reads before it does anything, as one of the usual tokenizers counts it.
const TOOLS_TOKENS_MAX: usize = 2_500;

#[tokio::test]
async fn the_list_of_tools_is_short() {
    let world = World::start().await;
    for era in [Era::Legacy("2025-06-18"), Era::Legacy("2025-11-25"), Era::Modern] {
        let mut client = Client::of(&world.server, era).await;
        let listed = client.request("tools/list", json!({})).await["result"].clone();
        assert!(listed["tools"].as_array().is_some_and(|tools| tools.len() >= 5), "{listed}");
        let tokens = tiktoken_rs::o200k_base_singleton().encode_ordinary(&listed.to_string()).len();
        figure(&format!("tools/list: {tokens} tokens"));
        assert!((100..=TOOLS_TOKENS_MAX).contains(&tokens), "{tokens} tokens");
    }
}
