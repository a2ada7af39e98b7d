//! Many calls on one socket: as many at once as the limits say, and nothing else waits for them.

use std::time::Duration;

use exai_actors::clock;
use exai_upstream::{Entry, Script, Upstream};
use serde_json::json;

use crate::eras::figure;
use crate::world::World;

const CALLS: usize = 50;
/// Calls of one second, 25 to each provider, 8 at once: four rounds.
const ROUNDS: std::ops::Range<f64> = 3.5..6.0;
/// What a ping may take in a debug build on a noisy machine.
const PING_MAX: Duration = Duration::from_millis(500);

/// The most requests that a double had at once.
fn most_at_once(entries: &[Entry]) -> usize {
    let running_at = |at: u64| {
        entries
            .iter()
            .filter(|entry| entry.at_ms <= at && entry.ended_at_ms.is_none_or(|end| end > at))
            .count()
    };
    entries.iter().map(|entry| running_at(entry.at_ms)).max().unwrap_or(0)
}

#[tokio::test]
async fn fifty_calls_take_four_rounds_and_a_ping_waits_for_none_of_them() {
    let world = World::start().await;
    let mut client = world.client().await;
    for double in [&world.kimi, &world.glm] {
        double.set_default(Script::of("delay=1000+pace=0+tokens=25"));
    }
    // The handshake used up some of the burst.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = clock::now();
    let mut ids = Vec::new();
    for number in 0..CALLS {
        let model = if number % 2 == 0 { "kimi-k2.6" } else { "glm-5.2" };
        let question = json!({ "prompt": format!("number {number}"), "model": model });
        ids.push(client.begin("tools/call", json!({ "name": "chat", "arguments": question })).await);
    }
    let mut pings = Vec::new();
    while client.seen.iter().filter(|(_, message)| ids.iter().any(|id| message["id"] == *id)).count() < CALLS
    {
        pings.push(client.fence().await);
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    let mut hosts = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let reply = client.reply(*id).await;
        assert!(reply.text().contains(&format!("number {number}")), "{}", reply.text());
        hosts.push(reply.of_receipt("host"));
    }
    let took = ids.iter().map(|id| client.answered_at(*id)).max().unwrap() - asked;
    let slowest = pings.iter().max().unwrap();
    let at_once = [&world.kimi, &world.glm].map(|double: &Upstream| most_at_once(&double.journal()));
    figure(&format!(
        "50 calls of 1 s: {took:?}, {at_once:?} at once; slowest of {} pings: {slowest:?}",
        pings.len()
    ));
    assert!(ROUNDS.contains(&took.as_secs_f64()), "{took:?}");
    assert!(pings.len() > 20 && *slowest < PING_MAX, "{slowest:?}");
    assert!(at_once.iter().all(|most| (2..=8).contains(most)), "{at_once:?}");
    assert_eq!(hosts.iter().filter(|host| **host == world.kimi.addr().to_string()).count(), CALLS / 2);
    assert_eq!((world.kimi.journal().len(), world.glm.journal().len()), (CALLS / 2, CALLS / 2));
    client.until_at_rest().await;
}

#[tokio::test]
async fn a_hung_provider_does_not_slow_its_neighbour() {
    let world = World::start().await;
    let mut client = world.client().await;
    world.kimi.set_default(Script::of("stall-after=1"));
    let mut hung = Vec::new();
    for _ in 0..10 {
        hung.push(client.begin_call("chat", json!({ "prompt": "hang", "model": "kimi-k2.6" })).await);
    }
    world.until_asked(8).await;
    let asked = clock::now();
    let reply = client.call("chat", json!({ "prompt": "quick", "model": "glm-5.2" })).await;
    assert!(!reply.is_error() && clock::now() - asked < Duration::from_secs(2), "{}", reply.0);
    // Those that wait go first: a place that comes free is taken at once.
    for id in hung.into_iter().rev() {
        client.cancel(id).await;
    }
    client.until_at_rest().await;
    world.until_closed().await;
    assert_eq!(world.kimi.journal().len(), 8, "who was cancelled while it waited reached nobody");
}
