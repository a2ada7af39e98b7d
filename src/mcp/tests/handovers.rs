//! A client that can wait no longer than it says, or than is known of it: it gets what there is, and the call goes on. In virtual time.

use exai_actors::clock;
use exai_actors::dispatcher::messages::Phase;
use exai_actors::error::ErrorKind;

use super::planted::{Asked, Call, SECOND};
use super::*;

/// Waits for the hand-over, and gives when it came after the call was asked, to the second.
async fn handed_over(call: &mut Call, asked_at: clock::Instant) -> (u64, Value) {
    loop {
        let heard = call.hears().await;
        if heard["id"] == 1 {
            return ((clock::now() - asked_at).as_secs(), heard["result"].clone());
        }
        assert_eq!(heard["method"], "notifications/progress", "{heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_client_is_answered_before_it_gives_up() {
    let token = json!({ "progressToken": "t" });
    let soon = json!({ "progressToken": "t", "exai/answerWithinMs": 7000 });
    let table = [
        ("a test", json!({}), 55),
        ("claude-ai", token.clone(), 55),
        ("Visual Studio Code", token, 295),
        ("claude-code", json!({}), 295),
        ("claude-code", soon.clone(), 7),
        ("patient", soon, 7),
    ];
    for (client, meta, seconds) in table {
        let asked_at = clock::now();
        let mut call = Call::asked(Asked::by(client, meta)).await;
        call.is_at(Phase::Answering, 340);
        let (at, result) = handed_over(&mut call, asked_at).await;
        assert_eq!(at, seconds, "{client}");
        let facts = json!({
            "call_id": call.id, "phase": "answering", "seconds": seconds, "tokens": 340, "partial_chars": 0,
        });
        assert_eq!(result["_meta"], json!({ "exai/handover": facts }), "{client}");
        assert_eq!((&result["isError"], &result["content"].as_array().unwrap().len()), (&json!(false), &2));
        assert!(result.get("structuredContent").is_none());
        // Nobody follows the call any more, and nobody has cancelled it.
        call.hears_nothing_for(SECOND * 60).await;
        assert_eq!(call.progress.receiver_count(), 1, "{client}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_wants_progress_and_is_not_known_to_give_up_waits() {
    for client in ["a test", "claude-code", "exai"] {
        let mut call = Call::asked(Asked::by(client, json!({ "progressToken": "t" }))).await;
        call.is_at(Phase::Thinking, 0);
        let until = clock::now() + SECOND * 890;
        while clock::now() < until {
            call.hears_progress().await;
        }
        call.ends_with(ErrorKind::UpstreamError);
        assert_eq!(call.hears().await["result"]["isError"], true, "{client}");
    }
    // These wait without a word: one by the configuration, the others because `exai connect` gives them the time.
    for client in ["patient", "codex-mcp-client", "gemini-cli-mcp-client"] {
        let mut call = Call::asked(Asked::by(client, json!({}))).await;
        call.is_at(Phase::Thinking, 0);
        call.hears_nothing_for(SECOND * 890).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_looks_on_is_handed_over_to_with_progress_until_then() {
    let meta = json!({ "progressToken": "t" });
    let asked_at = clock::now();
    let mut call = Call::asked(Asked { looks_on: true, ..Asked::by("claude-ai", meta) }).await;
    call.is_at(Phase::Thinking, 0);
    call.hears_progress().await;
    call.hears_progress().await;
    assert_eq!(handed_over(&mut call, asked_at).await.0, 55);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_in_the_journal_is_told_to_nobody() {
    let mut call = Call::asked(Asked::by("claude-ai", json!({}))).await;
    let asked_at = clock::now();
    call.hears_nothing_for(SECOND * 58).await;
    call.is_at(Phase::Waiting, 0);
    assert_eq!(handed_over(&mut call, asked_at).await.0, 58);
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_that_does_not_answer_costs_two_seconds() {
    let (toolbox, _deaf) = inside::deaf();
    let asked_at = clock::now();
    let mut call = Call::asked(Asked { toolbox, ..Asked::by("claude-ai", json!({})) }).await;
    call.is_at(Phase::Thinking, 0);
    assert_eq!(handed_over(&mut call, asked_at).await.0, 57);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_the_answer() {
    let (toolbox, _deaf) = inside::deaf();
    let mut call = Call::asked(Asked { toolbox, ..Asked::by("claude-ai", json!({})) }).await;
    call.is_at(Phase::Committing, 9);
    // The text so far is being asked for already.
    call.hears_nothing_for(SECOND * 56).await;
    call.ends_with(ErrorKind::UpstreamTimeout);
    assert_eq!(call.hears().await["result"]["_meta"]["exai/error"]["kind"], "upstream_timeout");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_the_hand_over_is_nothing() {
    let asked_at = clock::now();
    let mut call = Call::asked(Asked::by("claude-ai", json!({}))).await;
    call.is_at(Phase::Thinking, 0);
    handed_over(&mut call, asked_at).await;
    call.says(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }))
        .await;
    call.hears_nothing_for(SECOND * 60).await;
    call.says(ping(json!(2))).await;
    assert_eq!(call.hears().await["id"], 2);
}

#[tokio::test(start_paused = true)]
async fn terms_that_cannot_be_read_are_refused() {
    for meta in [
        json!({ "exai/answerWithinMs": 0 }),
        json!({ "exai/answerWithinMs": 900_001 }),
        json!({ "exai/answerWithinMs": "soon" }),
        json!({ "exai/retryUnknown": "yes" }),
        json!({ "exai/idempotencyKey": "" }),
    ] {
        let mut call = Call::asked(Asked::by("a test", meta.clone())).await;
        let answer = call.hears().await;
        assert_eq!(answer["result"]["_meta"]["exai/error"]["kind"], "invalid_arguments", "{meta}");
    }
}
