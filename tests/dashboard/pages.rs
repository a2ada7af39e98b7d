//! The page's files: small, kept by browsers under names of their content, painted at once; and the configuration that it tells of.

use exai_actors::clock;
use serde_json::Value;

use crate::browser::Browser;
use crate::database::Database;
use crate::doors::send;
use crate::world::World;

/// The whole page, unpacked, in bytes.
const WEIGHT_MAX: u64 = 200 * 1024;
/// The first paint on loopback, in milliseconds.
const PAINT_MAX: f64 = 500.0;

/// The folder of the files that the page asks for.
fn folder_in(page: &str) -> &str {
    page.split("src=\"/static/").nth(1).unwrap().split('/').next().unwrap()
}

#[tokio::test]
async fn files_are_kept_by_their_content_and_packed() {
    let world = World::start().await;
    let get =
        async |path: &str, more: &[(&str, &str)]| send(world.server.dashboard, "GET", path, more, "").await;
    let page = get("/", &[]).await;
    assert!(page.head.contains("cache-control: no-cache"), "{}", page.head);
    let folder = folder_in(&page.body).to_owned();
    let named = page.body.matches("/static/").count();
    assert!(folder.len() == 16 && named > 5 && page.body.matches(&folder).count() == named, "{}", page.body);
    for name in ["app.css", "app.js", "dom.js", "feed.js", "icon.svg"] {
        let file = get(&format!("/static/{folder}/{name}"), &[]).await;
        assert_eq!(file.status, 200, "{name}");
        assert!(file.head.contains("cache-control: max-age=31536000, immutable"), "{name}: {}", file.head);
    }
    let packed = get(&format!("/static/{folder}/app.css"), &[("Accept-Encoding", "gzip")]).await;
    assert!(packed.head.contains("content-encoding: gzip"), "{}", packed.head);
    // Of another release, behind a balancer: what there is, and not for good.
    let other = get("/static/0123456789abcdef/app.js", &[]).await;
    assert!(other.status == 200 && other.head.contains("cache-control: no-cache"), "{}", other.head);
    for strange in ["..%2fCargo.toml", "nothing.js", "index.html/x"] {
        assert_eq!(get(&format!("/static/{folder}/{strange}"), &[]).await.status, 404, "{strange}");
    }
}

#[tokio::test]
async fn a_folder_stands_before_the_binary_and_shows_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let page = "<script src=\"/static/app.js\"></script>";
    std::fs::write(folder.path().join("index.html"), page).unwrap();
    let world = World::with(Database::sqlite(), |with| {
        with.set("EXAI_DASHBOARD__FOLDER", folder.path().to_str().unwrap());
    })
    .await;
    for words in ["first", "second"] {
        std::fs::write(folder.path().join("app.js"), words).unwrap();
        let page = send(world.server.dashboard, "GET", "/", &[], "").await;
        let path = format!("/static/{}/app.js", folder_in(&page.body));
        let file = send(world.server.dashboard, "GET", &path, &[], "").await;
        assert_eq!((file.status, file.body.as_str()), (200, words));
        assert!(file.head.contains("cache-control: no-cache"), "{}", file.head);
    }
}

#[tokio::test]
#[ignore = "needs Chromium and its driver: tests/run installs them"]
async fn the_page_is_small_and_painted_at_once() {
    let world = World::start().await;
    let browser = Browser::open(&world.server).await;
    browser.log_in().await;
    let weight = "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter((one) => !one.name.includes('/api/')).reduce((sum, one) => sum + one.decodedBodySize, 0)";
    let weight = browser.run(weight).await.as_u64().unwrap();
    assert!((20_000..WEIGHT_MAX).contains(&weight), "{weight} bytes");
    let mut paints = Vec::new();
    for _ in 0..5 {
        browser.page.refresh().await.unwrap();
        browser
            .until(
                "it is painted",
                "return performance.getEntriesByName('first-contentful-paint').length === 1",
            )
            .await;
        // Shown is the panel, and not an empty frame.
        browser
            .until("the panel is there", "return document.querySelector('[data-provider]') !== null")
            .await;
        let paint = "return performance.getEntriesByName('first-contentful-paint')[0].startTime";
        paints.push(browser.run(paint).await.as_f64().unwrap());
    }
    // Others use this machine too: what it can do is what counts.
    assert!(paints.iter().any(|paint| *paint < PAINT_MAX), "{paints:?} ms");
    browser.close().await;
}

#[tokio::test]
async fn the_configuration_shown_is_the_one_in_force() {
    let world = World::with(Database::sqlite(), |with| {
        with.config(
            "[limits]\nglobal = 5\n[alerts]\nwebhook_url = \"https://hooks.example.com/T0-secret\"\n",
        );
    })
    .await;
    let shown = async || serde_json::from_str::<Value>(&world.server.get("/api/config").await.1).unwrap();
    let before = shown().await;
    assert_eq!(before["config"]["limits"]["global"], 5);
    assert_eq!(before["config"]["alerts"]["webhook_url"], "masked");
    for section in ["clients", "dashboard", "listen", "log", "metrics", "models", "providers", "storage"] {
        assert!(before["config"][section].is_object(), "{section}: {before}");
    }
    assert!(!before.to_string().contains("T0-secret") && !before.to_string().contains("sk-KIMI"), "{before}");
    world.server.write_config("[limits]\nglobal = 6\ndrain_s = 7\n[alerts]\nwebhook_url = \"https://hooks.example.com/T0-secret\"\n");
    let (code, said) = world.server.run(&["reload"]).await;
    assert_eq!(code, Some(0), "{said}");
    let after = shown().await;
    assert_eq!(after["config"]["limits"]["global"], 6);
    assert_eq!(
        after["config"]["limits"]["drain_s"], before["config"]["limits"]["drain_s"],
        "it waits for a restart"
    );
}

#[tokio::test]
async fn a_long_range_ends_with_what_is_newest() {
    let world = World::start().await;
    // A month of hours of more series than one answer takes, and of a metric that nobody draws.
    let hour = clock::utc_now().0 / 3_600_000;
    for metric in ["exai_calls_total", "exai_dropped_total"] {
        let rows = format!(
            "INSERT INTO metrics_1hour (window_start, metric, labels, count, sum)
            WITH RECURSIVE hours(h) AS (SELECT {hour} - 700 UNION ALL SELECT h + 1 FROM hours WHERE h < {hour}),
            series(s) AS (SELECT 1 UNION ALL SELECT s + 1 FROM series WHERE s < 80)
            SELECT h * 3600000, '{metric}', '{{\"life\":\"' || s || '\"}}', 1, 1 FROM hours, series"
        );
        world.db.execute(&rows).await;
    }
    let (status, told) = world.server.get("/api/history?minutes=43200").await;
    let told = serde_json::from_str::<Value>(&told).unwrap();
    let rollups = told["rollups"].as_array().unwrap();
    let starts = rollups.iter().map(|one| one["start"].as_i64().unwrap()).collect::<Vec<_>>();
    assert!(status == 200 && starts.is_sorted() && starts.len() == 50_000, "{} rows", starts.len());
    assert_eq!(
        starts.iter().filter(|start| **start == hour * 3_600_000).count(),
        80,
        "the newest hour is whole"
    );
    assert!(rollups.iter().all(|one| one["metric"] == "exai_calls_total"));
}
