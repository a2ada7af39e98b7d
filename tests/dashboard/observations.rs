//! What the auditor saw is taken note of: one, or all that were shown.

use std::fmt::Write;
use std::time::Duration;

use exai_actors::clock;

use crate::browser::Browser;
use crate::database::Database;
use crate::doors::send;
use crate::payloads::PAYLOADS;
use crate::server::{SOON, TOKEN};
use crate::world::World;

const OPEN: &str = "SELECT count(*) AS n FROM auditor_observations WHERE acknowledged_at IS NULL";

fn id(n: usize) -> String {
    format!("0198c0de-0000-7000-8000-{n:012}")
}

/// As the auditor writes them: one a millisecond.
pub(crate) async fn seed(world: &World, count: usize) {
    let mut sql = String::new();
    for n in 1..=count {
        let severity = ["info", "warning", "critical"][n % 3];
        let text = PAYLOADS[n % PAYLOADS.len()].replace('\'', "''");
        let columns = "id, at, severity, category, text, recommendation, confidence, evidence";
        writeln!(
            sql,
            "INSERT INTO auditor_observations ({columns}) VALUES ('{}', {n}, '{severity}', 'latency', '{text}', '{text}', 0.8, '{{}}');",
            id(n)
        )
        .unwrap();
    }
    world.db.execute(&sql).await;
}

/// In the panel: filtered, one acknowledged, then all.
pub(crate) async fn go_through(browser: &Browser, world: &World) {
    seed(world, 6).await;
    browser.show("auditor").await;
    let rows =
        |count: usize| format!("return document.querySelectorAll('#main tbody tr').length === {count}");
    browser.until("all are shown", &rows(6)).await;
    browser.run("const box = document.getElementById('severity'); box.value = 'critical'; box.dispatchEvent(new Event('change'))").await;
    browser.until("the critical ones are shown", &rows(2)).await;
    browser.picture("auditor-filtered-1440").await;
    browser.click(&format!("button[data-acknowledge='{}']", id(5))).await;
    let one =
        format!("return document.querySelector('tr[data-id=\"{}\"]').innerText.includes('local, ')", id(5));
    browser.until("it is acknowledged", &one).await;
    assert_eq!(world.db.number(OPEN).await, 5);
    browser.click("#acknowledge-all").await;
    browser.until("all are", "return document.getElementById('acknowledge-all').disabled").await;
    assert_eq!(world.db.number(OPEN).await, 0);
    browser.run("const box = document.getElementById('severity'); box.value = ''; box.dispatchEvent(new Event('change'))").await;
    browser.until("all are shown again", &rows(6)).await;
}

#[tokio::test]
async fn observations_are_acknowledged_once_and_audited() {
    once_and_audited(Database::sqlite()).await;
}

#[tokio::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn observations_in_postgres_are_acknowledged_once_and_audited() {
    once_and_audited(Database::postgres().await).await;
}

async fn once_and_audited(db: Database) {
    let world = World::with(db, |_| {}).await;
    seed(&world, 4).await;
    let one = format!("/api/observations/{}/acknowledge", id(2));
    assert_eq!(world.server.post_dashboard(&one).await, (200, "{\"acknowledged\":1}".to_owned()));
    let at = "SELECT acknowledged_at AS n FROM auditor_observations WHERE at = 2";
    let first = world.db.number(at).await;
    assert_eq!(world.server.post_dashboard(&one).await.0, 404, "there is nothing more to note");
    assert_eq!(world.db.number(at).await, first, "whoever was first stays the one");
    for strange in ["nobody", &id(9)] {
        let path = format!("/api/observations/{strange}/acknowledge");
        assert_eq!(world.server.post_dashboard(&path).await.0, 404, "{strange}");
    }
    let all = "/api/observations/acknowledge";
    assert_eq!(world.server.post_dashboard(all).await.0, 400, "up to when?");
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str())];
    let said = send(world.server.dashboard, "POST", all, &headers, "{\"until\": 3}").await;
    assert_eq!((said.status, said.body.as_str()), (200, "{\"acknowledged\":2}"));
    assert_eq!(world.db.number(OPEN).await, 1, "what came after the last that was seen stays open");
    let by = world.db.texts("SELECT DISTINCT acknowledged_by AS t FROM auditor_observations WHERE acknowledged_at IS NOT NULL").await;
    assert_eq!(by, ["local"]);
    // Events are handed over once a second.
    let both = ["operator_acknowledges_one", "operator_acknowledges_all"];
    let until = clock::now() + SOON;
    loop {
        let (_, events) = world.server.get("/api/events?kind=server").await;
        let output = world.server.output();
        if both.iter().all(|what| events.contains(what) && output.contains(what)) {
            break;
        }
        assert!(clock::now() < until, "{events}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
