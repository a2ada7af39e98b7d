//! The feed over plain sockets: many browsers, and one that does not read.

use std::time::Duration;

use exai_actors::clock;
use serde_json::{Value, json};

use crate::database::Database;
use crate::server::{SOON, Server, TOKEN};
use crate::world::World;
use crate::ws::{self, Opened, Ws};

/// Browsers at the same time.
const BROWSERS: usize = 100;

async fn watch(server: &Server) -> Ws {
    let bearer = format!("Bearer {TOKEN}");
    ws::connect(server.dashboard, "/feed", &[("Authorization", &bearer)]).await.unwrap()
}

async fn words(socket: &mut Ws) -> Value {
    serde_json::from_str(&socket.next_text().await.unwrap()).unwrap()
}

/// Reads until a call is shown as ended; every change must follow the one before.
async fn until_ended(socket: &mut Ws, mut seq: u64, call: &str) {
    let by = clock::now() + SOON;
    loop {
        assert!(clock::now() < by, "{call} never ended");
        let words = words(socket).await;
        let at = words["seq"].as_u64().unwrap();
        assert_eq!(at, seq + 1, "a gap");
        seq = at;
        if words["set"][format!("call/{call}")]["ended"] == true {
            return;
        }
    }
}

#[tokio::test]
async fn a_hundred_browsers_see_every_change_without_a_gap() {
    let world = World::start().await;
    let mut browsers = Vec::new();
    for _ in 0..BROWSERS {
        let mut socket = watch(&world.server).await;
        let first = words(&mut socket).await;
        assert_eq!(first["whole"], true);
        browsers.push((socket, first["seq"].as_u64().unwrap()));
    }
    let mut client = world.client().await;
    let call = client.chat("hello").await.of_receipt("call_id");
    for (socket, seq) in &mut browsers {
        until_ended(socket, *seq, &call).await;
    }
    // Whatever a browser says brings the whole picture.
    browsers[0].0.send_text("whole").await.unwrap();
    let by = clock::now() + SOON;
    while words(&mut browsers[0].0).await["whole"] != true {
        assert!(clock::now() < by, "it is not given again");
    }
}

#[tokio::test]
async fn a_browser_that_does_not_read_is_dropped() {
    let world = World::start().await;
    let mut deaf = watch(&world.server).await;
    let mut client = world.client().await;
    // Its socket's buffers fill with what changes; from there on nothing more is kept for it.
    let by = clock::now() + Duration::from_secs(90);
    let mut dropped = false;
    while !dropped && clock::now() < by {
        for _ in 0..20 {
            deaf.send_text("whole").await.ok();
        }
        client.chat("hello").await;
        let clients = world.server.get("/api/events?kind=http&limit=1000").await.1;
        dropped = deaf.send_text("whole").await.is_err();
        assert!(!clients.is_empty());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(dropped, "it is kept");
    assert!(!client.chat("others go on").await.is_error());
}

#[tokio::test]
async fn only_who_may_gets_in_and_only_our_page_changes_anything() {
    let world = World::start().await;
    let to = world.server.dashboard;
    let own = format!("http://{to}");
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let length = body.len().to_string();
        let always = [("Content-Length", length.as_str()), ("Connection", "close")];
        match ws::open_with(to, method, path, &[headers, &always].concat(), body).await.unwrap() {
            Opened::Refused(answer) => answer,
            Opened::Ws(_) => panic!("{path} opened"),
        }
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
    let at = head.find("set-cookie: ").unwrap() + "set-cookie: ".len();
    let cookie = entered.head[at..].split(';').next().unwrap().to_owned();
    let held = ("Cookie", cookie.as_str());
    assert_eq!(ask("GET", "/api/config", &[held], "").await.status, 200);
    let order = json!({ "provider": "kimi", "order": "reset" }).to_string();
    let orders: [&[(&str, &str)]; 3] = [&[held], &[held, ("Origin", &own)], &[held, ("x-exai-page", "1")]];
    for headers in orders {
        assert_eq!(ask("POST", "/api/breakers", headers, &order).await.status, 403, "{headers:?}");
    }
    let ours = [held, ("Origin", own.as_str()), ("x-exai-page", "1")];
    assert_eq!(ask("POST", "/api/breakers", &ours, &order).await.status, 200);
    assert_eq!(ask("POST", "/api/logout", &ours, "").await.status, 200);
    assert_eq!(ask("GET", "/api/config", &[held], "").await.status, 401, "logged out");
}

#[tokio::test]
async fn what_is_shown_after_a_storm_is_what_the_journal_has() {
    storm(Database::sqlite()).await;
}

#[tokio::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn what_is_shown_after_a_storm_is_what_the_journal_of_postgres_has() {
    storm(Database::postgres().await).await;
}

async fn storm(db: Database) {
    let world = World::with(db, |_| {}).await;
    let mut socket = watch(&world.server).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(world.client().await);
    }
    for n in 0..40 {
        if n % 5 == 0 {
            world.next("refuse=content_filter");
        }
        clients[n % 4].chat("a question of the storm").await;
    }
    world.until_closed().await;
    let of = async |state: &str| {
        world.db.number(&format!("SELECT count(*) AS n FROM calls WHERE state = '{state}'")).await
    };
    let (completed, failed) = (of("completed").await, of("failed").await);
    assert_eq!((completed, failed), (32, 8));
    let (status, listed) = world.server.get("/api/conversations?search=of%20the%20storm").await;
    let listed = serde_json::from_str::<Value>(&listed).unwrap();
    assert_eq!((status, listed["rows"].as_array().map(Vec::len)), (200, Some(32)), "{listed}");
    assert!(listed["rows"][0]["chars"].as_i64() > Some(20) && listed["rows"][0]["turns"] == 2, "{listed}");
    assert_eq!(world.server.get("/api/observations").await.0, 200);
    assert_eq!(world.server.get("/api/history?minutes=60").await.0, 200);
    let millionths = "SELECT CAST(round(sum(cost_usd) * 1000000) AS BIGINT) AS n FROM attempts";
    let cost = world.db.number(millionths).await;
    let by = clock::now() + SOON;
    loop {
        socket.send_text("whole").await.unwrap();
        let words = words(&mut socket).await;
        let shown = &words["set"];
        let failures = shown["sums"]["calls"].as_object().into_iter().flatten();
        let failures =
            failures.filter(|(end, _)| *end != "completed").filter_map(|(_, n)| n.as_i64()).sum::<i64>();
        let today = shown["strip"]["cost_today_usd"].as_f64().map(|usd| (usd * 1e6).round());
        let calls = shown
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, call)| name.starts_with("call/") && call["ended"] == true);
        let sessions =
            shown.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("session/"));
        let as_the_journal = words["whole"] == true
            && shown["sums"]["calls"]["completed"] == completed
            && failures == failed
            && shown["strip"]["rates"]["ended"] == completed + failed
            && shown["strip"]["rates"]["failed"] == failed
            && calls.count() == 40
            && sessions.count() == 4
            && today == Some(cost as f64);
        if as_the_journal {
            break;
        }
        assert!(clock::now() < by, "{completed} and {failed}, {cost}: {shown}");
    }
}
