//! What becomes of a call and its answer when the connection that asked goes away: before the answer, right behind it, and later.

use super::*;
use crate::database::Database;
use crate::http::Exchange;

const VERSION: (&str, &str) = ("MCP-Protocol-Version", "2025-11-25");

/// The number of the last event that came.
fn last_event(text: &str) -> String {
    text.lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .next_back()
        .unwrap_or_else(|| panic!("no event in {text}"))
        .to_owned()
}

/// Posts a question as soon as there is a place for its connection.
async fn once_placed(world: &World, of: &[(&str, &str)], id: i64, prompt: &str) -> Exchange {
    let by = clock::now() + SOON;
    loop {
        let mut asked = post(&world.server, of, &request(id, "tools/call", chat(prompt))).await;
        if asked.status().await != 503 {
            return asked;
        }
        assert!(clock::now() < by, "no place came free");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until so many calls count as delivered.
async fn until_delivered(world: &World, count: i64) {
    let by = clock::now() + SOON;
    while world.db.number("SELECT count(*) AS n FROM calls WHERE delivered_at IS NOT NULL").await < count {
        assert!(clock::now() < by, "a delivery was not noted: {:?}", world.db.states().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_cut_stream_goes_on_where_it_was() {
    let world = World::start().await;
    let session = open(&world.server, "2025-11-25").await;
    let of = [("Mcp-Session-Id", session.as_str()), VERSION];
    world.next("delay=1500");
    let mut cut = post(&world.server, &of, &request(7, "tools/call", chat("cut off"))).await;
    let last = last_event(&cut.until("notifications/progress").await);
    drop(cut);
    world.until_asked(1).await;
    let mut rest = send(&world.server, "GET", &[of[0], of[1], ("Last-Event-ID", last.as_str())], "").await;
    let reply = rest.answer(7).await;
    assert!(reply["result"]["content"][0]["text"].as_str().unwrap().contains("cut off"), "{reply}");
    assert_eq!(world.kimi.journal().len(), 1, "nothing was asked again");
    assert_eq!(world.kimi.journal()[0].ended, Ended::Complete);
}

#[tokio::test]
async fn a_lost_answer_waits_for_who_asks_again_and_for_who_resumes() {
    let world = World::start().await;
    let session = open(&world.server, "2025-11-25").await;
    let of = [("Mcp-Session-Id", session.as_str()), VERSION];
    world.next("delay=500");
    let mut cut = post(&world.server, &of, &request(7, "tools/call", chat("lost on its way"))).await;
    let last = last_event(&cut.until("notifications/progress").await);
    drop(cut);
    world.until_asked(1).await;
    world.until_closed().await;
    let again = request(8, "tools/call", chat("lost on its way"));
    let again = post(&world.server, &of, &again).await.answer(8).await;
    let resume = [of[0], of[1], ("Last-Event-ID", last.as_str())];
    let rest = send(&world.server, "GET", &resume, "").await.answer(7).await;
    assert!(again["result"]["_meta"]["exai/receipt"]["call_id"].is_string(), "{again}");
    assert_eq!(again["result"]["_meta"]["exai/receipt"], rest["result"]["_meta"]["exai/receipt"], "{again}");
    assert_eq!(world.kimi.journal().len(), 1, "nothing was asked again");
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, 1);
}

#[tokio::test]
async fn who_asks_again_after_its_connection_broke_gets_the_call_that_runs() {
    // One place is the listener's; there is another only once the server has seen the asker go.
    let world = World::with(Database::sqlite(), |setup| {
        setup.set("EXAI_LIMITS__CONNECTIONS", "2");
    })
    .await;
    let session = open(&world.server, "2025-11-25").await;
    let of = [("Mcp-Session-Id", session.as_str()), VERSION];
    let by = clock::now() + SOON;
    let _listener = loop {
        let mut listener = send(&world.server, "GET", &of, "").await;
        if listener.status().await == 200 {
            break listener;
        }
        assert!(clock::now() < by, "no place came free");
    };
    world.next("delay=1500");
    let mut cut = once_placed(&world, &of, 7, "asked while it runs").await;
    let last = last_event(&cut.until("notifications/progress").await);
    world.until_asked(1).await;
    drop(cut);
    let mut again = once_placed(&world, &of, 8, "asked while it runs").await;
    let again = again.answer(8).await;
    let resume = [of[0], of[1], ("Last-Event-ID", last.as_str())];
    let by = clock::now() + SOON;
    let rest = loop {
        let mut rest = send(&world.server, "GET", &resume, "").await;
        if rest.status().await == 200 {
            break rest.answer(7).await;
        }
        assert!(clock::now() < by, "no place came free");
    };
    let receipt = |answer: &Value| answer["result"]["_meta"]["exai/receipt"].clone();
    assert!(receipt(&again)["call_id"].is_string(), "{again}");
    assert_eq!(receipt(&again), receipt(&rest), "{rest}");
    assert_eq!(world.kimi.journal().len(), 1, "nothing was asked again");
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, 1);
}

#[tokio::test]
async fn who_listens_still_shares_its_call_with_nobody() {
    let world = World::start().await;
    let session = open(&world.server, "2025-11-25").await;
    let of = [("Mcp-Session-Id", session.as_str()), VERSION];
    for _ in 0..2 {
        world.next("delay=500");
    }
    let mut first = post(&world.server, &of, &request(7, "tools/call", chat("asked by two"))).await;
    first.until("notifications/progress").await;
    let mut second = post(&world.server, &of, &request(8, "tools/call", chat("asked by two"))).await;
    second.until("retry: ").await;
    let id =
        |answer: Value| answer["result"]["_meta"]["exai/receipt"]["call_id"].as_str().unwrap().to_owned();
    assert_ne!(id(first.answer(7).await), id(second.answer(8).await));
    assert_eq!(world.kimi.journal().len(), 2);
}

/// As one body, and as a stream: its client reads the answer and closes, and does not wait for the server to do so.
#[tokio::test]
async fn an_answer_is_delivered_to_who_closes_right_behind_it() {
    let world = World::start().await;
    let session = open(&world.server, "2025-11-25").await;
    let of = [("Mcp-Session-Id", session.as_str()), VERSION];
    for number in 0..20_i64 {
        world.next(if number % 2 == 0 {
            "think=0+tokens=3+pace=0"
        } else {
            "delay=80+think=0+tokens=3+pace=0"
        });
        let asked = request(number, "tools/call", chat(&format!("read and gone {number}")));
        let mut answered = post(&world.server, &of, &asked).await;
        answered.answer_alone(number).await;
        drop(answered);
        until_delivered(&world, number + 1).await;
    }
    world.next("think=0+tokens=3+pace=0");
    let asked = request(99, "tools/call", chat("read and gone 0"));
    post(&world.server, &of, &asked).await.answer(99).await;
    assert_eq!(world.kimi.journal().len(), 21, "who has had its answer gets another one");
}

#[tokio::test]
async fn a_stream_can_be_resumed_whatever_else_its_session_asks() {
    let world = World::start().await;
    let session = open(&world.server, "2025-11-25").await;
    let of = [("Mcp-Session-Id", session.as_str()), VERSION];
    world.next("delay=300");
    let mut whole = post(&world.server, &of, &request(7, "tools/call", chat("read, and lost"))).await;
    let last = last_event(&whole.until("notifications/progress").await);
    let answer = whole.answer(7).await;
    until_delivered(&world, 1).await;
    for id in 10..30 {
        post(&world.server, &of, &request(id, "tools/list", json!({}))).await.answer(id).await;
    }
    let resume = [of[0], of[1], ("Last-Event-ID", last.as_str())];
    assert_eq!(send(&world.server, "GET", &resume, "").await.answer(7).await, answer);
    for (unknown, kind) in [("4711-1", "not_found"), ("nonsense", "invalid_arguments")] {
        let mut refused = send(&world.server, "GET", &[of[0], of[1], ("Last-Event-ID", unknown)], "").await;
        assert_eq!(refused.status().await, 400, "{unknown}");
        assert!(refused.whole().await.contains(kind), "{}", refused.text());
    }
    assert_eq!(post(&world.server, &of, &request(40, "ping", json!({}))).await.status().await, 200);
}
