//! Who gets in by cookie, and what the token behind it opens: over plain sockets, with whatever headers an attacker likes.

use std::net::SocketAddr;

use serde_json::json;

use crate::browser::Browser;
use crate::server::TOKEN;
use crate::world::World;
use crate::ws::{self, Answer, Opened};

pub(crate) async fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let length = body.len().to_string();
    let always = [("Content-Length", length.as_str()), ("Connection", "close")];
    match ws::open_with(to, method, path, &[headers, &always].concat(), body).await.unwrap() {
        Opened::Refused(answer) => answer,
        Opened::Ws(_) => panic!("{path} opened"),
    }
}

fn cookie_of(entered: &Answer) -> String {
    let head = entered.head.to_ascii_lowercase();
    let at = head.find("set-cookie: ").unwrap() + "set-cookie: ".len();
    entered.head[at..].split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let world = World::start().await;
    let bearer = format!("Bearer {TOKEN}");
    for (accepted, media, has_end) in [
        ("text/plain;version=0.0.4", "content-type: text/plain; version=0.0.4", false),
        ("application/openmetrics-text,text/plain;q=0.5", "content-type: application/openmetrics-text", true),
        ("*/*", "content-type: application/openmetrics-text", true),
    ] {
        let headers = [("Authorization", bearer.as_str()), ("Accept", accepted)];
        let told = send(world.server.dashboard, "GET", "/metrics", &headers, "").await;
        assert!(told.status == 200 && told.head.to_ascii_lowercase().contains(media), "{}", told.head);
        assert_eq!(told.body.contains("# EOF"), has_end, "{}", told.body);
        assert_eq!(told.body.contains("# TYPE exai_calls_total counter"), !has_end, "{}", told.body);
    }
}

#[tokio::test]
async fn only_who_may_gets_in_and_only_our_page_changes_anything() {
    let world = World::start().await;
    let to = world.server.dashboard;
    let own = format!("http://{to}");
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        send(to, method, path, headers, body).await
    };
    assert_eq!(ask("GET", "/feed", &ws::upgrade_headers(), "").await.status, 401, "no token");
    assert_eq!(ask("GET", "/api/config", &[], "").await.status, 401);
    let page = ask("GET", "/", &[], "").await;
    assert!(page.status == 200 && page.head.contains("require-trusted-types-for"), "{}", page.head);
    assert!(!page.head.contains("unsafe-"), "{}", page.head);
    assert_eq!(ask("GET", "/static/..%2fCargo.toml", &[], "").await.status, 404);
    let wrong = json!({ "token": "not-the-token-at-all" }).to_string();
    assert_eq!(ask("POST", "/api/login", &[("Origin", &own)], &wrong).await.status, 401);
    let right = json!({ "token": TOKEN }).to_string();
    let evil = ask("POST", "/api/login", &[("Origin", "http://evil.example")], &right).await;
    assert_eq!(evil.status, 403);
    let entered = ask("POST", "/api/login", &[("Origin", &own)], &right).await;
    let head = entered.head.to_ascii_lowercase();
    assert!(head.contains("httponly") && head.contains("samesite=strict") && !entered.head.contains(TOKEN));
    let cookie = cookie_of(&entered);
    let held = ("Cookie", cookie.as_str());
    assert_eq!(ask("GET", "/api/config", &[held], "").await.status, 200);
    let order = json!({ "provider": "kimi", "order": "reset" }).to_string();
    let orders: [&[(&str, &str)]; 3] = [&[held], &[held, ("Origin", &own)], &[held, ("x-exai-page", "1")]];
    for headers in orders {
        assert_eq!(ask("POST", "/api/breakers", headers, &order).await.status, 403, "{headers:?}");
    }
    let ours = [held, ("Origin", own.as_str()), ("x-exai-page", "1")];
    assert_eq!(ask("POST", "/api/breakers", &ours, &order).await.status, 200);
    // Logging out ends what this login opened, and nothing else.
    let another = cookie_of(&ask("POST", "/api/login", &[("Origin", &own)], &right).await);
    let watch = async |cookie: &str| ws::connect(to, "/feed", &[("Cookie", cookie)]).await.unwrap();
    let (mut first, mut second, mut other) =
        (watch(&cookie).await, watch(&cookie).await, watch(&another).await);
    assert_eq!(ask("POST", "/api/logout", &ours, "").await.status, 200);
    assert_eq!(ask("GET", "/api/config", &[held], "").await.status, 401, "logged out");
    for socket in [&mut first, &mut second] {
        assert_eq!(socket.close_code().await.unwrap(), 1008);
    }
    other.send_text("whole").await.unwrap();
    for _ in 0..2 {
        other.next_text().await.unwrap();
    }
    assert_eq!(ask("GET", "/api/config", &[("Cookie", &another)], "").await.status, 200);
}

#[tokio::test]
async fn a_cookie_opens_what_its_token_opens_and_nothing_once_that_is_revoked() {
    let world = World::start().await;
    let to = world.server.dashboard;
    let own = format!("http://{to}");
    let mut tokens = Vec::new();
    for scope in ["client", "dashboard", "admin"] {
        let (code, said) = world.server.run(&["token", "add", scope, "--scope", scope]).await;
        assert_eq!(code, Some(0), "{said}");
        tokens.push(json!({ "token": said.lines().next().unwrap() }).to_string());
    }
    for stranger in [&tokens[0], &tokens[2]] {
        let refused = send(to, "POST", "/api/login", &[("Origin", &own)], stranger).await;
        assert_eq!(refused.status, 403, "without the scope dashboard nobody logs in");
    }
    let entered = send(to, "POST", "/api/login", &[("Origin", &own)], &tokens[1]).await;
    let cookie = cookie_of(&entered);
    let ours = [("Cookie", cookie.as_str()), ("Origin", own.as_str()), ("x-exai-page", "1")];
    for path in ["/api/config", "/api/breakers", "/api/events", "/api/conversations", "/metrics", "/health"] {
        assert_eq!(send(to, "GET", path, &ours, "").await.status, 200, "{path}");
    }
    // Who may not ask hears nothing of how to.
    for (with, status) in [(&ours[..], 400), (&[], 401)] {
        assert_eq!(send(to, "GET", "/api/history?minutes=soon", with, "").await.status, status);
        assert_eq!(send(to, "GET", "/api/conversations?before=soon", with, "").await.status, status);
    }
    let order = json!({ "provider": "kimi", "order": "reset" }).to_string();
    let id = "0198c0de-0000-7000-8000-000000000000";
    for path in [
        "/api/breakers".to_owned(),
        "/api/reload".to_owned(),
        "/api/trial".to_owned(),
        "/api/observations/acknowledge".to_owned(),
        format!("/api/observations/{id}/acknowledge"),
        format!("/api/calls/{id}/cancel"),
        format!("/api/sessions/{id}/disconnect"),
        format!("/api/conversations/{id}/read"),
    ] {
        let refused = send(to, "POST", &path, &ours, &order).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.body.contains("`admin`"), "{path}: {}", refused.body);
    }
    // What somebody asked is content, its first words too.
    world.client().await.chat("a canary in the first words").await;
    let listed = send(to, "GET", "/api/conversations?search=local", &ours, "").await;
    assert!(listed.body.contains("\"title\":null") && !listed.body.contains("canary"), "{}", listed.body);
    let sought = send(to, "GET", "/api/conversations?search=canary", &ours, "").await;
    assert_eq!(sought.body, "{\"rows\":[]}", "nor is it found by them");
    assert_eq!(send(to, "GET", "/api/conversations?titles=true", &ours, "").await.status, 403);
    let (status, told) = world.server.get("/api/conversations?titles=true&search=canary").await;
    assert!(status == 200 && told.contains("a canary in the first words"), "{told}");
    assert!(world.server.output().contains("operator_reads_titles"));
    let (code, said) = world.server.run(&["token", "revoke", "dashboard"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(send(to, "GET", "/api/config", &ours, "").await.status, 401, "revoked");
}

#[tokio::test]
async fn guesses_at_the_login_are_counted() {
    let world = World::start().await;
    let to = world.server.dashboard;
    let own = format!("http://{to}");
    let mut last = 0;
    for n in 0..20 {
        let wrong = json!({ "token": format!("wrong-token-number-{n}") }).to_string();
        last = send(to, "POST", "/api/login", &[("Origin", &own)], &wrong).await.status;
    }
    assert_eq!(last, 429);
    let right = json!({ "token": TOKEN }).to_string();
    assert_eq!(send(to, "POST", "/api/login", &[("Origin", &own)], &right).await.status, 429, "even so");
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: tests/run installs them"]
async fn who_may_look_alone_sees_why_nothing_changes() {
    let world = World::start().await;
    let (code, said) = world.server.run(&["token", "add", "looks", "--scope", "dashboard"]).await;
    assert_eq!(code, Some(0), "{said}");
    let browser = Browser::open(&world.server).await;
    browser.log_in_with(said.lines().next().unwrap()).await;
    browser.click("button[data-order='kimi:force_open']").await;
    let toast = "const toast = document.getElementById('toast'); return toast.checkVisibility() && toast.innerText.includes('`admin`')";
    browser.until("it is said that this needs another token", toast).await;
    let spoken =
        "return document.getElementById('said').textContent === document.getElementById('toast').textContent";
    assert_eq!(browser.run(spoken).await, true);
    browser.picture("refused-1440").await;
    assert_eq!(world.server.health().await["components"]["provider:kimi"]["status"], "ok");
    browser.close().await;
}
