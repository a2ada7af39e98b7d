//! The feed over plain sockets: many browsers, and one that does not read.

use std::time::Duration;

use exai_actors::clock;
use serde_json::Value;

use crate::database::Database;
use crate::server::{SOON, Server, TOKEN};
use crate::world::World;
use crate::ws::{self, Ws};

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

/// Browsers that do not read.
const DEAF: usize = 10;
/// What the process may grow by meanwhile, in bytes: what calls keep, and each browser's 16 changes; what is sent to them is far more.
const GROWTH_MAX: f64 = 32.0 * 1024.0 * 1024.0;

async fn resident(world: &World) -> f64 {
    let (_, text) = world.server.get("/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix("exai_process_resident_memory_bytes "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap()
}

#[tokio::test]
async fn browsers_that_do_not_read_are_dropped_and_nothing_grows() {
    let world = World::start().await;
    let mut client = world.client().await;
    for _ in 0..20 {
        client.chat("hello").await;
    }
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(watch(&world.server).await);
    }
    let (before, mut most) = (resident(&world).await, 0.0_f64);
    // Their sockets' buffers fill with what they ask for; from there on nothing more is kept for them.
    let by = clock::now() + Duration::from_secs(90);
    while !deaf.is_empty() {
        assert!(clock::now() < by, "{} are kept", deaf.len());
        let mut kept = Vec::new();
        for mut one in deaf {
            let mut heard = true;
            for _ in 0..20 {
                heard = heard && one.send_text("whole").await.is_ok();
            }
            if heard {
                kept.push(one);
            }
        }
        deaf = kept;
        client.chat("hello").await;
        most = most.max(resident(&world).await - before);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(most < GROWTH_MAX, "it grew by {most} bytes");
    assert!(!client.chat("others go on").await.is_error());
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

/// The sum of the series of one family of `/metrics` whose labels hold this.
pub(crate) fn scraped(text: &str, family: &str, labels: &str) -> f64 {
    let series =
        text.lines().filter(|line| line.starts_with(&format!("{family}{{")) && line.contains(labels));
    series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// The sum of the numbers of an object.
fn sum_of(shown: &Value) -> f64 {
    shown.as_object().into_iter().flatten().filter_map(|(_, n)| n.as_f64()).sum()
}

/// Whether the shown sums are those of `/metrics`, whole and in their parts.
fn is_as_scraped(shown: &Value, text: &str) -> bool {
    let (sums, parts) = (&shown["sums"], &shown["breakdown"]);
    let kimi = &parts["outcomes"]["kimi"];
    let tokens = sums["tokens"].as_object().into_iter().flatten();
    let prompts = tokens.filter_map(|(_, one)| one["prompt"].as_f64()).sum::<f64>();
    let permits = shown["load"]["permits"].as_array().into_iter().flatten();
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let percentiles = [("p50_ms", "0.5"), ("p95_ms", "0.95"), ("p99_ms", "0.99")];
    let percentiles = percentiles.into_iter().all(|(field, quantile)| {
        let labels = format!("of=\"exai_call_seconds\",quantile=\"{quantile}\"");
        let seconds = scraped(text, "exai_recent_seconds", &labels);
        let told = shown["strip"]["rates"][field].as_f64().unwrap_or(-1.0);
        seconds > 0.0 && (told / 1000.0 - seconds).abs() < 1e-9
    });
    percentiles
        && near(sum_of(&sums["calls"]), scraped(text, "exai_calls_total", ""))
        && near(sum_of(kimi), scraped(text, "exai_calls_total", "provider=\"kimi\""))
        && near(sum_of(&sums["upstream"]), scraped(text, "exai_upstream_requests_total", ""))
        && near(prompts, scraped(text, "exai_tokens_total", "kind=\"prompt\""))
        && near(sum_of(&parts["costs"]), scraped(text, "exai_cost_usd_total", ""))
        && near(sums["cost_usd"].as_f64().unwrap_or(-1.0), scraped(text, "exai_cost_usd_total", ""))
        && near(sums["sessions_active"].as_f64().unwrap_or(-1.0), scraped(text, "exai_sessions_active", ""))
        && permits.filter_map(|one| one["limit"].as_f64()).sum::<f64>()
            == scraped(text, "exai_permits_limit", "")
}

async fn storm(db: Database) {
    let world = World::with(db, |_| {}).await;
    let mut socket = watch(&world.server).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(world.client().await);
    }
    let mut longest = Duration::ZERO;
    for n in 0..40 {
        match n {
            _ if n % 5 == 0 => world.next("refuse=content_filter"),
            // Between two buckets of the histogram that `/metrics` has.
            39 => world.next("delay=3000"),
            _ => {}
        }
        let began = clock::now();
        clients[n % 4].chat("a question of the storm").await;
        longest = longest.max(clock::now() - began);
    }
    world.until_closed().await;
    let of = async |state: &str| {
        world.db.number(&format!("SELECT count(*) AS n FROM calls WHERE state = '{state}'")).await
    };
    let (completed, failed) = (of("completed").await, of("failed").await);
    assert_eq!((completed, failed), (32, 8));
    let (status, listed) = world.server.get("/api/conversations?titles=true&search=of%20the%20storm").await;
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
            && shown["strip"]["rates"]["p99_ms"]
                .as_f64()
                .is_some_and(|p99| (3_000.0..=longest.as_secs_f64() * 1010.0).contains(&p99))
            && today == Some(cost as f64)
            && is_as_scraped(shown, &world.server.get("/metrics").await.1);
        if as_the_journal {
            break;
        }
        assert!(clock::now() < by, "{completed} and {failed}, {cost}: {shown}");
    }
}
