//! The dashboard in a real browser, and its feed over real sockets: what it shows is what is, and what it is told to do is done.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "dashboard/browser.rs"]
mod browser;
#[path = "support/client.rs"]
mod client;
#[path = "support/database.rs"]
mod database;
#[path = "dashboard/doors.rs"]
mod doors;
#[path = "dashboard/feed.rs"]
mod feed;
#[path = "support/http.rs"]
mod http;
#[path = "dashboard/looks.rs"]
mod looks;
#[path = "dashboard/numbers.rs"]
mod numbers;
#[path = "dashboard/observations.rs"]
mod observations;
#[path = "dashboard/pages.rs"]
mod pages;
#[path = "dashboard/panels.rs"]
mod panels;
#[path = "dashboard/payloads.rs"]
mod payloads;
#[path = "support/server.rs"]
mod server;
#[path = "dashboard/trial.rs"]
mod trial;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::time::Duration;

use browser::Browser;
use serde_json::json;
use world::World;

/// What an operator is promised.
const A_SECOND: Duration = Duration::from_secs(1);
/// What a loaded machine may take beyond.
const MACHINE: Duration = Duration::from_secs(1);

#[tokio::test]
#[ignore = "needs Chromium and its driver: tests/run installs them"]
async fn an_operator_sees_calls_ends_one_and_moves_a_breaker() {
    let world = World::start().await;
    let browser = Browser::open(&world.server).await;
    browser.log_in().await;
    browser
        .until("it is well", "return document.getElementById('state').textContent === 'All is well'")
        .await;
    browser.picture("overview-1440").await;

    // A call appears while it runs, and is seen to end.
    browser.show("calls").await;
    let mut client = world.client().await;
    world.next("delay=4000");
    let asked = client.begin_call("chat", json!({ "prompt": "a question" })).await;
    client.until_progress(asked).await;
    let appeared = browser
        .until("the call appears", "return document.querySelector('#main button[data-cancel]') !== null")
        .await;
    assert!(appeared < A_SECOND + MACHINE, "{appeared:?}");
    let reply = client.reply(asked).await;
    let call = reply.of_receipt("call_id");
    let ended = format!(
        "return document.querySelector('tr[data-id=\"{call}\"]')?.innerText.includes('completed') === true"
    );
    let took = browser.until("the call is seen to end", &ended).await;
    assert!(took < A_SECOND + MACHINE, "{took:?}");

    // Its story.
    browser.click(&format!("button[data-call='{call}']")).await;
    browser
        .until(
            "the receipt is shown",
            "return document.getElementById('dialog').innerText.includes('Receipt')",
        )
        .await;
    let story = browser.run("return document.getElementById('dialog').innerText").await;
    for word in [&reply.of_receipt("host"), "Timeline", "completed"] {
        assert!(story.as_str().unwrap().contains(word), "{word}: {story}");
    }
    browser.picture("call-1440").await;
    browser.run("document.getElementById('dialog').close()").await;

    // One is cancelled.
    world.next("delay=30000");
    let asked = client.begin_call("chat", json!({ "prompt": "a long one" })).await;
    client.until_progress(asked).await;
    browser.click("#main button[data-cancel]").await;
    assert_eq!(client.reply(asked).await.kind(), "cancelled");
    browser
        .until("the cancel is seen", "return document.getElementById('main').innerText.includes('cancelled')")
        .await;

    // A breaker is forced open, and calls are refused until it is reset.
    browser.show("overview").await;
    browser.click("button[data-order='kimi:force_open']").await;
    browser.until("it is open", "return document.querySelector('[data-provider=kimi]').innerText.includes('Forced open by the operator')").await;
    assert_eq!(client.chat("refused").await.kind(), "breaker_open");
    browser
        .until(
            "it is said in words",
            "return document.getElementById('state').textContent === 'Working, without kimi'",
        )
        .await;
    browser.picture("breaker-1440").await;
    browser.click("button[data-order='kimi:reset']").await;
    browser
        .until(
            "it is closed",
            "return document.querySelector('[data-provider=kimi]').innerText.includes('Calls go through')",
        )
        .await;
    assert!(!client.chat("taken again").await.is_error());
    // A model's breaker alone: the provider's other models go on.
    browser.click("button[data-order='kimi/kimi-k2.6:force_open']").await;
    let refused =
        "return document.querySelector('[data-provider=kimi] .models').innerText.includes('forced open')";
    browser.until("the model's is open", refused).await;
    browser.run("window.held = document.querySelector(\"button[data-order='kimi/kimi-k2.6:reset']\"); held.focus(); window.told = document.querySelector('[data-provider=kimi] .story')").await;
    let same = "return !told.isConnected && held.isConnected && document.activeElement === held";
    browser.until("the card is told anew around its buttons", same).await;
    assert_eq!(client.chat("refused").await.kind(), "breaker_open");
    let other = json!({ "prompt": "of another model", "model": "kimi-k2.7-code" });
    assert!(!client.call("chat", other).await.is_error());
    browser.click("button[data-order='kimi/kimi-k2.6:reset']").await;
    browser.until("it is closed again", &refused.replace("return ", "return !")).await;

    // What was done is in the books, and events can be filtered.
    browser.show("events").await;
    browser
        .until(
            "the audit is told",
            "return document.getElementById('main').innerText.includes('operator_cancels_call')",
        )
        .await;
    browser.run("const kind = document.getElementById('event-kind'); kind.value = 'kimi'; kind.dispatchEvent(new Event('change'))").await;
    let others = "return [...document.querySelectorAll('#main tbody tr')].every((row) => row.cells[1].innerText === 'kimi') && document.querySelectorAll('#main tbody tr').length > 1";
    browser.until("only Kimi's are shown", others).await;
    browser.picture("events-1440").await;
    events_are_exported(&browser).await;

    // A session is closed by hand; its client is told.
    browser.show("sessions").await;
    browser.click("#main section:first-child td button").await;
    assert_eq!(client.close_code().await, 1008);
    browser
        .until(
            "nobody is connected",
            "return document.getElementById('main').innerText.includes('Nobody is connected')",
        )
        .await;

    trial::goes_through(&browser, &world).await;
    observations::go_through(&browser, &world).await;

    looks::go_by_keyboard(&browser).await;
    looks::are_good(&browser).await;
    browser.show("config").await;
    browser.until("it is shown", "return document.getElementById('main').innerText.includes('masked')").await;
    let masked = browser.text().await;
    assert!(
        masked.contains("masked") && !masked.contains(server::TOKEN) && !masked.contains("sk-kimi"),
        "{masked}"
    );
    browser.close().await;
}

/// What is shown, as a file.
async fn events_are_exported(browser: &Browser) {
    browser.run("const make = URL.createObjectURL; URL.createObjectURL = (blob) => { window.saved = blob; return make(blob); }").await;
    let export = "[...document.querySelectorAll('#main button')].find((one) => one.innerText === 'Export JSON').click()";
    browser.run(export).await;
    let saved = browser.run("return saved.text()").await;
    let saved = serde_json::from_str::<Vec<serde_json::Value>>(saved.as_str().unwrap()).unwrap();
    assert!(saved.len() > 1 && saved.iter().all(|event| event["kind"] == "kimi"), "{saved:?}");
    assert!(saved.iter().all(|event| event["at"].is_i64() && event["outcome"].is_string()), "{saved:?}");
}
