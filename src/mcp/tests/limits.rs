//! What one client can and cannot take: places, requests, memory, and the server's time.

use exai_actors::session::messages::Settings;

use super::ws::{self, Opened, PING, PONG, upgrade_headers};
use super::*;

#[actix_web::test]
async fn too_many_connections_are_refused_with_a_body() {
    let connections = Connections::new(2, 64, &[]);
    let server = Setup { connections, ..Setup::default() }.start().await.unwrap();
    let first = server.connect().await.unwrap();
    let _second = server.connect().await.unwrap();
    let opened = ws::open(server.address, "GET", "/mcp", &upgrade_headers()).await.unwrap();
    let Opened::Refused(answer) = opened else { panic!("a third connection was let in") };
    assert_eq!(answer.status, 503);
    let body = serde_json::from_str::<Value>(&answer.body).unwrap();
    assert_eq!(
        (&body["error"]["kind"], &body["error"]["retry_after_ms"]),
        (&json!("over_capacity"), &json!(10_000))
    );
    drop(first);
    assert!(server.until(|server| server.connections.total() == 1).await);
    server.connect().await.unwrap();
}

#[actix_web::test]
async fn requests_beyond_the_rate_are_refused_and_the_socket_lives() {
    let limits = Limits { requests_burst: 10, requests_per_second: 20.0, ..Limits::default() };
    let server = Setup { limits, ..Setup::default() }.start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    let mut refused = 0;
    for id in 1..=40 {
        tell(&mut ws, ping(json!(id))).await.unwrap();
    }
    for id in 1..=40 {
        let answer = next(&mut ws).await.unwrap();
        assert!(answer["id"].is_number(), "{id}: {answer}");
        if let Some(error) = answer.get("error") {
            refused += 1;
            assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32603), &json!("rate_limited")));
            assert!(error["data"]["retry_after_ms"].as_u64().unwrap() <= 50);
        }
    }
    assert!((20..=32).contains(&refused), "{refused} of 40 refused");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(ask(&mut ws, ping(json!("later"))).await.unwrap().get("result").is_some());
}

#[actix_web::test]
async fn what_surrounds_fifty_calls_costs_none_of_them() {
    let server = Server::start().await.unwrap();
    let mut ws = server.initialized().await.unwrap();
    ask(&mut ws, json!({ "jsonrpc": "2.0", "id": "list", "method": "tools/list" })).await.unwrap();
    ask(&mut ws, ping(json!("ping"))).await.unwrap();
    for _ in 0..60 {
        tell(&mut ws, json!({ "jsonrpc": "2.0", "method": "notifications/roots/list_changed" }))
            .await
            .unwrap();
    }
    let call = |id| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "x" } });
    for id in 0..50 {
        tell(&mut ws, call(id)).await.unwrap();
    }
    for _ in 0..50 {
        let answer = next(&mut ws).await.unwrap();
        assert_eq!(answer["error"]["data"], json!({ "kind": "unknown_tool" }), "{answer}");
    }
    assert!(ask(&mut ws, ping(json!("after"))).await.unwrap().get("result").is_some());
}

#[actix_web::test]
async fn a_burst_loses_no_cancel() {
    const MANY: usize = 100;
    let limits = Limits { requests_burst: 1000, requests_in_flight_max: MANY, ..Limits::default() };
    let server = Setup { limits, ..Setup::default() }.start().await.unwrap();
    let mut ws = server.connect().await.unwrap();
    ask(&mut ws, modern(json!("hello"), "server/discover", json!({}))).await.unwrap();
    // While this one is parsed, nobody takes what comes behind it.
    let large = json!({ "name": "x", "arguments": { "prompt": "p".repeat(6 << 20) } });
    tell(&mut ws, modern(json!("large"), "tools/call", large)).await.unwrap();
    for round in 0..2 {
        let name = |number: usize| json!(format!("{round}/{number}"));
        let listens = (0..MANY).map(|number| {
            modern(name(number), "subscriptions/listen", json!({ "notifications": {} })).to_string()
        });
        let cancels = (0..MANY).map(|number| {
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
                "params": { "requestId": name(number) } })
            .to_string()
        });
        let burst = listens.chain(cancels).flat_map(|text| frames::text_frame(&text)).collect::<Vec<_>>();
        ws.send_raw(&burst).await.unwrap();
    }
    // Nothing of the second round was refused: every request of the first one was cancelled.
    tell(&mut ws, modern(json!("last"), "server/discover", json!({}))).await.unwrap();
    loop {
        let heard = next(&mut ws).await.unwrap();
        assert!(heard["id"] == "large" || heard.get("error").is_none(), "{heard}");
        if heard["id"] == "last" {
            break;
        }
    }
}

#[actix_web::test]
async fn unanswered_requests_are_bounded() {
    let limits = Limits { requests_in_flight_max: 3, ..Limits::default() };
    let server = Setup { limits, ..Setup::default() }.start().await.unwrap();
    let mut ws = server.connect().await.unwrap();
    for id in 1..=3 {
        ask(&mut ws, modern(json!(id), "subscriptions/listen", json!({ "notifications": {} })))
            .await
            .unwrap();
    }
    let answer = ask(&mut ws, modern(json!(4), "tools/list", json!({}))).await.unwrap();
    assert_eq!(answer["error"]["data"], json!({ "kind": "over_capacity", "retry_after_ms": 1000 }));
    tell(
        &mut ws,
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
    )
    .await
    .unwrap();
    assert!(ask(&mut ws, modern(json!(4), "tools/list", json!({}))).await.unwrap().get("result").is_some());
}

#[actix_web::test]
async fn a_client_is_pinged_and_dropped_when_it_does_not_answer() {
    let session = Settings {
        ping_every: Duration::from_millis(300),
        pong_within: Duration::from_millis(150),
        ..session_settings()
    };
    let server = Setup { session, ..Setup::default() }.start().await.unwrap();
    let mut polite = server.initialized().await.unwrap();
    for _ in 0..3 {
        let ping = polite.next_frame().await.unwrap().unwrap();
        assert_eq!(ping.first, PING);
        polite.send_frame(PONG, &ping.payload).await.unwrap();
    }
    assert!(ask(&mut polite, ping(json!(1))).await.unwrap().get("result").is_some());
    let mut rude = server.initialized().await.unwrap();
    assert_eq!(rude.close_code().await.unwrap(), 1008);
    assert!(rude.is_closed_within(Duration::from_secs(2)).await);
}

/// The most memory that this process has had since `forget_peak`.
pub(super) fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

pub(super) fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[actix_web::test]
async fn millions_of_small_values_are_refused_before_they_cost_memory() {
    let server = Setup { alone: true, ..Setup::default() }.start().await.unwrap();
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(server.initialized().await.unwrap());
    }
    let zeros = format!("{{\"list\":[0{}]}}", ",0".repeat(3_900_000));
    let keys = (0..480_000).map(|key| format!("\"{key}\":0")).collect::<Vec<_>>().join(",");
    for arguments in [zeros, format!("{{{keys}}}")] {
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":"big","method":"tools/call","params":{{"name":"chat","arguments":{arguments}}}}}"#
        );
        let call = frames::text_frame(&call);
        forget_peak();
        let before = frames::resident_bytes();
        for ws in &mut sockets {
            ws.send_raw(&call).await.unwrap();
        }
        for ws in &mut sockets {
            let answer = next(ws).await.unwrap();
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("big"), &json!(-32600)));
            assert_eq!(answer["error"]["data"], json!({ "kind": "too_large" }));
        }
        let grown = peak_bytes().saturating_sub(before);
        // Eight messages of eight megabytes on their way in, and nothing on top of them.
        assert!(grown < 8 * 3 * 8 * 1024 * 1024, "{grown} bytes");
    }
}

/// Asks without end and never reads; ends with the error of the first question that the server did not take.
async fn flood(address: SocketAddr) -> io::Result<()> {
    let mut ws = ws::connect(address, "/mcp", &[]).await?;
    tell(&mut ws, initialize("2025-11-25")).await?;
    // Answers as long as the questions, so that both directions fill up.
    let question = ping(json!("i".repeat(900))).to_string();
    loop {
        ws.send_text(&question).await?;
    }
}

#[actix_web::test]
async fn a_client_that_never_reads_is_dropped_and_its_neighbour_unmoved() {
    let user_timeout = Duration::from_millis(1500);
    let limits = Limits { requests_burst: u32::MAX, ..Limits::default() };
    let server = Setup { user_timeout, limits, ..Setup::default() }.start().await.unwrap();
    let mut neighbour = server.initialized().await.unwrap();
    // On a thread of its own, so that what the neighbour waits for is the server and not this test.
    let address = server.address;
    let flood = std::thread::spawn(move || actix_web::rt::System::new().block_on(flood(address)));
    assert!(server.until(|server| server.connections.total() == 2).await);
    let neighbourly = async {
        let mut slowest = Duration::ZERO;
        while server.connections.total() > 1 {
            let asked_at = exai_actors::clock::now();
            ask(&mut neighbour, ping(json!(1))).await.unwrap();
            slowest = slowest.max(asked_at.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest
    };
    let slowest = tokio::time::timeout(Duration::from_secs(60), neighbourly).await.unwrap();
    flood.join().unwrap().unwrap_err();
    assert!(slowest < Duration::from_secs(1), "the neighbour waited {slowest:?}");
    assert!(server.until(|server| !server.seen.closed.lock().is_empty()).await);
    assert_eq!(server.seen.closed.lock()[0].close_code, 1006);
}

/// Without an engine, and without the library's dispatcher and its two buffers of 8 KiB. The test's own client is in it too.
#[actix_web::test]
#[ignore = "needs two thousand file descriptors twice over"]
async fn an_idle_session_costs_less_than_24_kib() {
    const SESSIONS: u64 = 2000;
    let connections = Connections::new(100_000, 64, &[]);
    let server = Setup { alone: true, connections, ..Setup::default() }.start().await.unwrap();
    let mut sessions = vec![server.initialized().await.unwrap()];
    let before = frames::resident_bytes();
    for _ in 0..SESSIONS {
        sessions.push(server.initialized().await.unwrap());
    }
    let each = (frames::resident_bytes() - before) / SESSIONS;
    assert!(each < 24 * 1024, "{each} bytes");
}
