//! The official conformance suite against the real daemon, built with the cargo feature `conformance`: every check that the frozen
//! sets of 2025-11-25 and 2026-07-28 make, required or not scored, over Streamable HTTP and, behind a relay, over our WebSocket and
//! through `exai stdio`.

#[path = "conformance/bearer.rs"]
mod bearer;
#[path = "support/client.rs"]
mod client;
#[macro_use]
#[path = "support/database.rs"]
mod database;
#[path = "conformance/far.rs"]
mod far;
#[path = "conformance/relay.rs"]
mod relay;
#[path = "support/server.rs"]
mod server;
#[path = "conformance/suite.rs"]
mod suite;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

use std::net::SocketAddr;

use crate::far::Way;
use crate::suite::run;
use crate::world::World;

/// What makes no sense behind the relay, as (scenario, check): it would test the relay, which stands for the HTTP that a WebSocket
/// does not have. `*` is the whole scenario.
const NOT_OVER_WEBSOCKET: [(&str, &str); 12] = [
    // Names of sessions, their end, and the streams of one session are HTTP's.
    ("server-initialize", "server-session-id-visible-ascii"),
    ("server-session-lifecycle", "*"),
    ("server-sse-multiple-streams", "*"),
    ("server-sse-polling", "*"),
    // A WebSocket has neither headers for each message nor a status for each answer; the codes of the errors are checked.
    ("http-header-validation", "*"),
    ("http-custom-header-server-validation", "*"),
    ("server-stateless", "sep-2575-http-server-header-mismatch-400"),
    ("server-stateless", "sep-2575-http-server-meta-invalid-400"),
    ("server-stateless", "sep-2575-http-server-unsupported-version-400"),
    ("server-stateless", "sep-2575-missing-capability-http-400"),
    ("tasks-request-headers", "tasks-headers-reject-mismatched-method"),
    ("tasks-request-headers", "sep-2663-server-rejects-mismatched-mcp-name-on-tasks-get"),
];

/// What makes no sense through the bridge: all of that, for the same reasons, and
const NOT_OVER_STDIO: [(&str, &str); 13] = {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = NOT_OVER_WEBSOCKET;
    // Pipes have no Host and no Origin.
    [a, b, c, d, e, f, g, h, i, j, k, l, ("dns-rebinding-protection", "*")]
};

/// What the pinned suite does not check yet: the scenario is one skip, whatever the server does.
const NOT_MADE: &str = "tasks-status-notifications";

/// Runs a frozen set, and judges what it scores and what it does not alike. At least `passed_min` checks pass: a suite that finds
/// nothing to check must not.
#[expect(clippy::print_stdout, reason = "figures for whoever runs the suite")]
async fn conforms(
    revision: &'static str,
    passed_min: usize,
    door: SocketAddr,
    left_out: &'static [(&str, &str)],
) {
    let outcome = tokio::task::spawn_blocking(move || run(revision, door)).await.expect("the suite ran");
    let is_left = |scenario: &str, check: &str| {
        left_out.iter().any(|(s, c)| *s == scenario && (*c == "*" || *c == check))
    };
    let (mut required, mut not_scored, mut left, mut wrong) = (0, 0, 0, Vec::new());
    for (scenario, checks) in &outcome.scenarios {
        assert!(!checks.is_empty(), "{scenario} checked nothing\n{}", outcome.said);
        let passed = if outcome.required.contains(scenario) { &mut required } else { &mut not_scored };
        for check in checks {
            if is_left(scenario, &check.id) {
                left += usize::from(check.is_right() || check.is_wrong());
            } else if check.is_wrong() && !(scenario == NOT_MADE && check.status == "SKIPPED") {
                wrong.push(format!("{scenario}: {} {}: {}", check.id, check.status, check.error));
            } else {
                *passed += usize::from(check.is_right());
            }
        }
    }
    let passed = required + not_scored;
    println!(
        "{revision}: {passed} checks passed ({required} required, {not_scored} not scored), {} failed, {left} left out",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed >= passed_min, "only {passed} checks");
    // Only what is left out may fail the suite as a whole.
    assert!(outcome.ended_well || left > 0, "{}", outcome.said);
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2025_11_25_over_http() {
    let world = World::start().await;
    conforms("2025-11-25", 84, bearer::start(world.server.mcp).await, &[]).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2026_07_28_over_http() {
    let world = World::start().await;
    conforms("2026-07-28", 197, bearer::start(world.server.mcp).await, &[]).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2025_11_25_over_websocket() {
    let world = World::start().await;
    conforms("2025-11-25", 75, relay::start(Way::WebSocket(world.server.mcp)), &NOT_OVER_WEBSOCKET).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2026_07_28_over_websocket() {
    let world = World::start().await;
    conforms("2026-07-28", 163, relay::start(Way::WebSocket(world.server.mcp)), &NOT_OVER_WEBSOCKET).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2025_11_25_over_stdio() {
    let world = World::start().await;
    conforms("2025-11-25", 73, relay::start(Way::Stdio(world.server.mcp)), &NOT_OVER_STDIO).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2026_07_28_over_stdio() {
    let world = World::start().await;
    conforms("2026-07-28", 161, relay::start(Way::Stdio(world.server.mcp)), &NOT_OVER_STDIO).await;
}
