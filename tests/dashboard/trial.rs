//! The operator's test: what it does is real, and none of it is anybody's.

use std::time::Duration;

use exai_actors::clock;
use serde_json::Value;

use crate::browser::Browser;
use crate::server::SOON;
use crate::world::World;

const CALLS: &str = "SELECT count(*) AS n FROM calls";

/// In the panel: the test is run, a baseline is kept, and what is worse than it is listed.
pub(crate) async fn goes_through(browser: &Browser, world: &World) {
    let before = world.db.number(CALLS).await;
    browser.show("test").await;
    browser.click("#run-trial").await;
    let passed = "return document.getElementById('trial-said').textContent.startsWith('All 9 checks passed')";
    browser.until("the test has passed", passed).await;
    browser.click("#capture").await;
    let kept = "return document.getElementById('trial-said').textContent.includes('is kept in this browser')";
    browser.until("a baseline is kept", kept).await;

    // A baseline that nothing can be worse than, and one that everything measured is worse than.
    let changed = |by: &str| {
        format!(
            "const kept = JSON.parse(localStorage.getItem('exai-baseline'));
            for (const name of Object.keys(kept)) if (name.endsWith('_ms') && kept[name] !== null) kept[name] = {by};
            kept.memory = 1e12; kept.errors = 100; localStorage.setItem('exai-baseline', JSON.stringify(kept))"
        )
    };
    browser.run(&changed("1e9")).await;
    browser.click("#compare").await;
    let said =
        |words: &str| format!("return document.getElementById('trial-said').textContent.includes('{words}')");
    browser.until("it is as good", &said("No regression.")).await;
    browser.run(&changed("-1e9")).await;
    browser.click("#compare").await;
    browser.until("it is worse", &said("Worse than the baseline")).await;
    let listed = "return [...document.querySelectorAll('#main tbody tr')].filter((row) => row.innerText.includes('regression')).length";
    let text = browser.text().await;
    assert_eq!(browser.run(listed).await, 7, "{text}");
    assert_eq!(world.db.number(CALLS).await, before, "nothing is in the journal");
    browser.run("localStorage.removeItem('exai-baseline')").await;
}

async fn run(world: &World) -> (u16, Value) {
    let (status, body) = world.server.post_dashboard("/api/trial").await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn the_operators_test_passes_and_touches_nothing_of_anybodys() {
    let world = World::start().await;
    let ((status, report), (second, refused)) = tokio::join!(run(&world), async {
        // The other one is under way by then, and takes as long as its breaker stays open.
        let by = clock::now() + SOON;
        while !world.server.output().contains("operator_runs_trial") {
            assert!(clock::now() < by, "it never began");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        run(&world).await
    });
    assert_eq!((status, &report["ok"]), (200, &true.into()), "{report}");
    assert_eq!((second, &refused["error"]["kind"]), (409, &"conflict".into()), "one at a time");
    let steps = report["steps"].as_array().unwrap();
    for part in ["consultation", "breaker"] {
        assert!(
            steps.iter().filter(|step| step["part"] == part && step["ok"] == true).count() >= 4,
            "{report}"
        );
    }
    assert!(report["measures"]["consultation_p50_ms"].as_f64() > Some(0.0), "{report}");
    // A real provider was not asked, and nothing is in the journal, the bill, the metrics or the health.
    assert!(world.kimi.journal().is_empty() && world.glm.journal().is_empty());
    assert_eq!(world.db.number(CALLS).await, 0);
    assert_eq!(world.db.number("SELECT count(*) AS n FROM attempts").await, 0);
    let (_, scraped) = world.server.get("/metrics").await;
    assert!(!scraped.contains("trial"), "{scraped}");
    let (_, health) = world.server.get("/health").await;
    assert!(!health.contains("trial"), "{health}");
    let (_, breakers) = world.server.get("/api/breakers").await;
    assert!(!breakers.contains("trial"), "{breakers}");
}
