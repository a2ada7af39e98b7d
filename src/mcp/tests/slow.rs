//! Clients that do not take what they asked for: they are dropped, and nobody else notices.

use exai_actors::clock;
use exai_actors::session::messages::Settings;

use super::limits::{forget_peak, peak_bytes};
use super::*;

/// One stored answer.
const ANSWER_BYTES: usize = 256 * 1024;
/// What one page of it holds at least.
const PAGE_BYTES_MIN: usize = 64 * 1024;
/// How often it is asked for: more than every queue and buffer on its way holds.
const ASKED: usize = 120;
/// How long a client may leave what it is sent, here.
const STALL: Duration = Duration::from_secs(2);

/// How long anybody else may wait for a pong. Without optimisation one answer alone takes ten milliseconds to be cut and written, and
/// all that were asked for are ready at once.
const NEIGHBOUR_WAITS_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 3000 } else { 100 });

/// Asks for far more than it takes, until it is told to stop: it need not notice that it was dropped.
async fn glutton(address: SocketAddr, call: CallId, bytes_a_second: Option<usize>, stop: CancellationToken) {
    let mut ws = ws::connect(address, "/mcp", &[]).await.unwrap();
    tell(&mut ws, initialize("2025-11-25")).await.unwrap();
    tell(&mut ws, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await.unwrap();
    for id in 1..=ASKED {
        let params = json!({ "name": "result", "arguments": { "call_id": call } });
        let fetch = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        tell(&mut ws, fetch).await.unwrap();
    }
    let mut read = 0;
    while !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Some(bytes) = bytes_a_second {
            read += ws.read_raw(bytes).await.unwrap_or(0);
        }
        assert!(read < ASKED * ANSWER_BYTES / 2, "it took what it asked for");
    }
}

async fn is_dropped_unnoticed(bytes_a_second: Option<usize>) {
    let limits = Limits { requests_burst: 1000, ..Limits::default() };
    let session = Settings { write_stall: STALL, ..session_settings() };
    let server = Setup { alone: true, limits, session, user_timeout: STALL, ..Setup::default() };
    let server = server.start().await.unwrap();
    let call = server.inside.answered(&"a".repeat(ANSWER_BYTES)).await;
    let mut neighbour = server.initialized().await.unwrap();
    forget_peak();
    let before = frames::resident_bytes();
    let (address, asked_at) = (server.address, clock::now());
    let stop = CancellationToken::new();
    let glutton = glutton(address, call, bytes_a_second, stop.clone());
    let glutton = move || actix_web::rt::System::new().block_on(glutton);
    let glutton = std::thread::spawn(glutton);
    assert!(server.until(|server| server.connections.total() == 2).await);
    let mut slowest = Duration::ZERO;
    while server.connections.total() > 1 {
        let asked_at = clock::now();
        ask(&mut neighbour, ping(json!(1))).await.unwrap();
        slowest = slowest.max(asked_at.elapsed());
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let lasted = asked_at.elapsed();
    let grown = peak_bytes().saturating_sub(before);
    figure(&format!("dropped after {lasted:?}; a neighbour waited {slowest:?}; {} MiB", grown >> 20));
    assert!(lasted < Duration::from_secs(25), "it lasted {lasted:?}");
    assert!(slowest < NEIGHBOUR_WAITS_MAX, "the neighbour waited {slowest:?}");
    // The queue, the socket's buffers, and one answer in each of a bounded number of hands, in several copies.
    assert!(grown < 160 << 20, "{grown} bytes");
    assert!(server.until(|server| !server.seen.closed.lock().is_empty()).await);
    stop.cancel();
    glutton.join().unwrap();
    // Nothing was delivered to it, and the answer is there for whoever asks.
    assert!(server.seen.delivered.lock().is_empty());
    let params = json!({ "name": "result", "arguments": { "call_id": call } });
    let fetch = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params });
    let fetched = ask(&mut neighbour, fetch).await.unwrap();
    let text = fetched["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.len() >= PAGE_BYTES_MIN && text.bytes().all(|byte| byte == b'a'), "{} bytes", text.len());
}

#[actix_web::test]
async fn a_client_that_stops_reading_is_dropped() {
    is_dropped_unnoticed(None).await;
}

#[actix_web::test]
async fn a_client_that_reads_a_byte_a_second_is_dropped() {
    is_dropped_unnoticed(Some(1)).await;
}

#[actix_web::test]
async fn a_client_that_reads_too_slowly_is_dropped() {
    is_dropped_unnoticed(Some(128 * 1024)).await;
}

#[expect(clippy::print_stdout, reason = "a figure for whoever runs the tests with --nocapture")]
fn figure(words: &str) {
    println!("{words}");
}
