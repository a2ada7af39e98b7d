//! Every number that the page shows after a storm, read off the page itself, against `/metrics` and the journal.

use std::collections::BTreeMap;

use exai_actors::clock;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::client::Client;
use crate::database::Database;
use crate::feed::scraped;
use crate::http;
use crate::panels::{calls, conversations, health, models, providers, rollups, sessions, strip};
use crate::server::SOON;
use crate::world::World;

/// Compares what a panel shows.
type Check = fn(&mut Found, &Value);

const READ: &str = include_str!("numbers.js");
/// Calls of one client.
const EACH: usize = 9;
const MODELS: [&str; 3] = ["kimi-k2.6", "kimi-k2.7-code", "glm-5.2"];

#[tokio::test]
#[ignore = "needs Chromium and its driver: tests/run installs them"]
async fn every_number_on_the_page_is_that_of_metrics_and_of_the_journal() {
    numbers(Database::sqlite()).await;
}

#[tokio::test]
#[ignore = "needs Chromium and Postgres: tests/run starts them"]
async fn every_number_on_the_page_is_that_of_metrics_and_of_postgres() {
    numbers(Database::postgres().await).await;
}

async fn numbers(db: Database) {
    let world = World::with(db, |with| {
        with.set("EXAI_METRICS__FLUSH_S", "1");
    })
    .await;
    let browser = Browser::open(&world.server).await;
    browser.log_in().await;
    let _connected = storm(&world).await;
    world.until_closed().await;
    for (panel, check) in [
        ("overview", strip as Check),
        ("overview", providers),
        ("overview", health),
        ("calls", calls),
        ("sessions", sessions),
        ("conversations", conversations),
        ("metrics", models),
    ] {
        browser.show(panel).await;
        settle(&browser, &world, panel, check).await;
    }
    browser.picture("numbers-metrics-1440").await;
    browser
        .run("[...document.querySelectorAll('.seg button')].find((one) => one.innerText === '1 h').click()")
        .await;
    settle(&browser, &world, "metrics", rollups).await;
    browser.close().await;
}

/// Clients of both transports, models of two providers, answers, conversations that go on, failures, a retry, a cancel.
async fn storm(world: &World) -> Vec<Client> {
    let mut clients = Vec::new();
    for (c, name) in ["storm-a", "storm-b", "storm-c"].into_iter().enumerate() {
        let mut client = Client::named(&world.server, name).await;
        let mut thread = Value::Null;
        for n in 0..EACH {
            match (c, n) {
                (_, 0 | 6) => world.next("refuse=content_filter"),
                (1, 3) => world.next("refuse=500"),
                (2, 3) => world.next("delay=700+tokens=90"),
                _ => {}
            }
            let mut asked = json!({ "prompt": format!("{name} asks {n}"), "model": MODELS[n % 3] });
            if n % 3 == 2 && !thread.is_null() {
                asked["continuation_id"] = thread.clone();
            }
            let reply = client.call("chat", asked).await;
            if !reply.is_error() {
                thread = reply.receipt()["conversation_id"].clone();
            }
        }
        clients.push(client);
    }
    let asked = world.kimi.journal().len();
    world.next("delay=30000");
    let given_up = clients[0].begin_call("chat", json!({ "prompt": "given up" })).await;
    world.until_asked(asked + 1).await;
    clients[0].cancel(given_up).await;
    assert_eq!(
        clients[1].call("chat", json!({ "prompt": "?", "model": "no-such-model" })).await.kind(),
        "unknown_model"
    );
    let session = http::open(&world.server, "2025-11-25").await;
    let headers = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", "2025-11-25")];
    let asked =
        http::request(7, "tools/call", json!({ "name": "chat", "arguments": { "prompt": "over HTTP" } }));
    http::post(&world.server, &headers, &asked).await.answer(7).await;
    clients
}

/// Reads the page, `/metrics` and the journal until all say the same: what is handed in once a second needs its second.
async fn settle(browser: &Browser, world: &World, panel: &str, check: Check) {
    let by = clock::now() + SOON;
    loop {
        let page = browser.run(READ).await;
        let metrics = world.server.get("/metrics").await.1;
        let mut found =
            Found { metrics, journal: Journal::read(world).await, amiss: Vec::new(), compared: 0 };
        check(&mut found, &page);
        if found.amiss.is_empty() && found.compared > 0 {
            return;
        }
        assert!(clock::now() < by, "{panel}: {:#?}", found.amiss);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// What the database has.
pub(crate) struct Journal {
    /// Id, state, kind of the error, receipt.
    pub(crate) calls: Vec<(String, String, String, Value)>,
    /// Provider, model, state, cost in millionths, tokens of the prompt and of the answer.
    pub(crate) attempts: Vec<(String, String, String, f64, [f64; 2])>,
    /// Id, turns, tokens, characters.
    pub(crate) conversations: Vec<(String, [f64; 3])>,
    /// Sessions that are open.
    pub(crate) open: f64,
    /// Of the newest minute's rollups by metric: the events, the median in milliseconds, the sum.
    pub(crate) newest: BTreeMap<String, f64>,
    pub(crate) health: Value,
}

impl Journal {
    async fn read(world: &World) -> Self {
        let rows = async |sql: &str| {
            let rows = world.db.texts(sql).await.into_iter();
            rows.map(|row| serde_json::from_str::<Vec<Value>>(&row).unwrap()).collect::<Vec<_>>()
        };
        // JSON by hand: both databases put texts together in the same way.
        let calls = "SELECT '[\"' || id || '\",\"' || state || '\",' || COALESCE(error, 'null') || ',' || COALESCE(receipt, 'null') || ']' AS t FROM calls";
        let attempts = "SELECT '[\"' || provider || '\",\"' || model || '\",\"' || state || '\",' || CAST(round(COALESCE(cost_usd, 0) * 1000000000) AS BIGINT) || ',' || COALESCE(prompt_tokens, 0) || ',' || COALESCE(completion_tokens, 0) || ']' AS t FROM attempts";
        let turns = "SELECT '[\"' || conversation_id || '\",' || count(*) || ',' || sum(tokens) || ',' || sum(length(content)) || ']' AS t FROM messages GROUP BY conversation_id";
        let newest = "SELECT '[\"' || metric || '\",' || CAST(CASE metric WHEN 'exai_calls_total' THEN sum(count) WHEN 'exai_call_seconds' THEN round(max(p50) * 1000) WHEN 'exai_event_loop_lag_seconds' THEN round(max(p50) * 1000000000) WHEN 'exai_process_resident_memory_bytes' THEN round(max(p50)) ELSE round(sum(sum) * 1000000000) END AS BIGINT) || ']' AS t FROM metrics_1min AS m WHERE window_start = (SELECT max(window_start) FROM metrics_1min WHERE metric = m.metric) GROUP BY metric";
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_f64().unwrap();
        Self {
            calls: rows(calls)
                .await
                .iter()
                .map(|row| (text(&row[0]), text(&row[1]), text(&row[2]["kind"]), row[3].clone()))
                .collect(),
            attempts: rows(attempts)
                .await
                .iter()
                .map(|row| {
                    (
                        text(&row[0]),
                        text(&row[1]),
                        text(&row[2]),
                        number(&row[3]) / 1e9,
                        [number(&row[4]), number(&row[5])],
                    )
                })
                .collect(),
            conversations: rows(turns)
                .await
                .iter()
                .map(|row| (text(&row[0]), [1, 2, 3].map(|n| number(&row[n]))))
                .collect(),
            open: world.db.number("SELECT count(*) AS n FROM sessions WHERE closed_at IS NULL").await as f64,
            newest: rows(newest)
                .await
                .iter()
                .map(|row| {
                    let metric = text(&row[0]);
                    let unit = match metric.as_str() {
                        "exai_cost_usd_total" => 1e9,
                        "exai_event_loop_lag_seconds" => 1e6,
                        _ => 1.0,
                    };
                    (metric, number(&row[1]) / unit)
                })
                .collect(),
            health: world.server.health().await,
        }
    }

    pub(crate) fn calls_in(&self, state: &str) -> f64 {
        self.calls.iter().filter(|call| call.1 == state).count() as f64
    }

    pub(crate) fn cost(&self) -> f64 {
        self.attempts.iter().map(|attempt| attempt.3).sum()
    }
}

/// What was compared, and what differs.
pub(crate) struct Found {
    pub(crate) metrics: String,
    pub(crate) journal: Journal,
    pub(crate) amiss: Vec<String>,
    compared: usize,
}

impl Found {
    /// A text of the page must be this number, as exactly as it is told.
    pub(crate) fn is(&mut self, what: &str, shown: &Value, wanted: f64) {
        self.compared += 1;
        let told = shown.as_str().and_then(told);
        if told.is_none_or(|(value, half)| (value - wanted).abs() > half * 1.001 + 1e-9) {
            self.amiss.push(format!("{what}: {shown} is not {wanted}"));
        }
    }

    /// The sum of the series of a family.
    pub(crate) fn scraped(&self, family: &str, labels: &[&str]) -> f64 {
        let lines = self.metrics.lines().filter(|line| labels.iter().all(|label| line.contains(label)));
        scraped(&lines.collect::<Vec<_>>().join("\n"), family, "")
    }

    /// A number of the page must be that of `/metrics` and that of the journal.
    pub(crate) fn are(&mut self, what: &str, shown: &Value, scraped: f64, journal: f64) {
        self.is(&format!("{what} in /metrics"), shown, scraped);
        self.is(&format!("{what} in the journal"), shown, journal);
    }

    pub(crate) fn same(&mut self, what: &str, shown: &Value, wanted: &str) {
        self.compared += 1;
        if shown != wanted {
            self.amiss.push(format!("{what}: {shown} is not {wanted}"));
        }
    }
}

/// The number that a text tells, and half of the last digit that it has: times in milliseconds.
fn told(text: &str) -> Option<(f64, f64)> {
    let text = text.trim().trim_start_matches('$').replace(',', "");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = match unit.trim() {
        "" | "ms" | "%" | "/s" | "chars" | "B" => 1.0,
        "s" | "k" | "k chars" | "kB" => 1e3,
        "M" | "MB" => 1e6,
        _ => return None,
    };
    let places = digits.split_once('.').map_or(0, |(_, places)| places.len());
    Some((digits.parse::<f64>().ok()? * unit, 0.5 * 0.1_f64.powi(i32::try_from(places).ok()?) * unit))
}
