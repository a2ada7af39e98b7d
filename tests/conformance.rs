//! The official conformance suite against the real daemon, built with the cargo feature `conformance`: every check that the frozen
//! sets of 2025-11-25 and 2026-07-28 require, over Streamable HTTP and, behind a relay, over our WebSocket and through `exai stdio`.

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
const NOT_OVER_WEBSOCKET: [(&str, &str); 6] = [
    // Names of sessions and streams of one session are HTTP's.
    ("server-initialize", "server-session-id-visible-ascii"),
    ("server-sse-multiple-streams", "*"),
    // A WebSocket has neither headers for each message nor a status for each answer; the codes of the errors are checked.
    ("server-stateless", "sep-2575-http-server-header-mismatch-400"),
    ("server-stateless", "sep-2575-http-server-meta-invalid-400"),
    ("server-stateless", "sep-2575-http-server-unsupported-version-400"),
    ("server-stateless", "sep-2575-missing-capability-http-400"),
];

/// What makes no sense through the bridge: all of that, for the same reasons, and
const NOT_OVER_STDIO: [(&str, &str); 7] = {
    let [a, b, c, d, e, f] = NOT_OVER_WEBSOCKET;
    // Pipes have no Host and no Origin.
    [a, b, c, d, e, f, ("dns-rebinding-protection", "*")]
};

/// Required checks that the pinned suite makes of a frozen set, at least: one that finds nothing to check must not pass.
const CHECKS_MIN: [(&str, usize); 2] = [("2025-11-25", 69), ("2026-07-28", 120)];

#[expect(clippy::print_stdout, reason = "figures for whoever runs the suite")]
async fn conforms(revision: &'static str, door: SocketAddr, left_out: &'static [(&str, &str)]) {
    let checks_min = CHECKS_MIN.iter().find(|(set, _)| *set == revision).expect("a known set").1;
    let outcome = tokio::task::spawn_blocking(move || run(revision, door)).await.expect("the suite ran");
    let counts = |scenario: &str, check: &str| {
        !left_out.iter().any(|(s, c)| *s == scenario && (*c == "*" || *c == check))
    };
    let (mut passed, mut left, mut wrong) = (0, 0, Vec::new());
    for (scenario, checks) in &outcome.required {
        assert!(!checks.is_empty(), "{scenario} checked nothing\n{}", outcome.said);
        for check in checks {
            if !counts(scenario, &check.id) {
                left += 1;
            } else if check.is_wrong() {
                wrong.push(format!("{scenario}: {} {}: {}", check.id, check.status, check.error));
            } else {
                passed += usize::from(check.is_right());
            }
        }
    }
    println!("{revision}: {passed} required checks passed, {} failed, {left} left out", wrong.len());
    println!("{revision}: not scored: {}", outcome.not_scored);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed + left >= checks_min, "only {passed} checks");
    // Only what is left out may fail the suite as a whole.
    assert!(outcome.ended_well || left > 0, "{}", outcome.said);
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2025_11_25_over_http() {
    let world = World::start().await;
    conforms("2025-11-25", bearer::start(world.server.mcp).await, &[]).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2026_07_28_over_http() {
    let world = World::start().await;
    conforms("2026-07-28", bearer::start(world.server.mcp).await, &[]).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2025_11_25_over_websocket() {
    let world = World::start().await;
    conforms("2025-11-25", relay::start(Way::WebSocket(world.server.mcp)), &NOT_OVER_WEBSOCKET).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2026_07_28_over_websocket() {
    let world = World::start().await;
    conforms("2026-07-28", relay::start(Way::WebSocket(world.server.mcp)), &NOT_OVER_WEBSOCKET).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2025_11_25_over_stdio() {
    let world = World::start().await;
    conforms("2025-11-25", relay::start(Way::Stdio(world.server.mcp)), &NOT_OVER_STDIO).await;
}

#[actix_web::test]
#[ignore = "needs the official suite, Node 22 and `--features conformance`: tests/support/conformance.sh installs them for tests/run"]
async fn official_conformance_of_2026_07_28_over_stdio() {
    let world = World::start().await;
    conforms("2026-07-28", relay::start(Way::Stdio(world.server.mcp)), &NOT_OVER_STDIO).await;
}
