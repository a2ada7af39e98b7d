//! A call that runs for a while: what its client hears, and when. In virtual time, with a call that the test moves by hand.

use exai_actors::clock;
use exai_actors::dispatcher::messages::Phase;
use exai_actors::error::ErrorKind;

use super::planted::{Call, SECOND};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_caller_hears_at_once_then_by_phase_then_every_ten_seconds() {
    let mut call = Call::start(json!("t")).await;
    let started_at = clock::now();
    assert_eq!(call.hears_progress().await, (1.0, "received, 0 s".to_owned()));
    assert_eq!(clock::now(), started_at, "the first one comes at once");
    // A change of phase is told, but not within the same second.
    call.is_at(Phase::Dispatched, 0);
    assert_eq!(call.hears_progress().await, (2.0, "waiting for the model, 1 s".to_owned()));
    // Tokens alone are no reason to speak, silence is.
    for tokens in 1..=9 {
        call.is_at(Phase::Dispatched, tokens);
        call.hears_nothing_for(SECOND).await;
    }
    assert_eq!(call.hears_progress().await, (3.0, "waiting for the model, 11 s, 9 tokens".to_owned()));
    for number in 4..30 {
        let before = clock::now();
        assert_eq!(call.hears_progress().await.0, f64::from(number));
        assert!(clock::now() - before <= SECOND * 10 + SECOND / 10);
    }
    call.ends_with(ErrorKind::BreakerOpen);
    let answer = call.hears().await;
    assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(1), &json!(true)));
    let error = json!({ "kind": "breaker_open", "call_id": call.id });
    assert_eq!(answer["result"]["_meta"]["exai/error"], error);
    call.hears_nothing_for(SECOND * 60).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_but_the_answer_is_heard() {
    let mut call = Call::start(json!(null)).await;
    call.is_at(Phase::Thinking, 7);
    call.hears_nothing_for(SECOND * 54).await;
    call.ends_with(ErrorKind::UpstreamError);
    assert_eq!(call.hears().await["id"], 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_cancel_nothing_is_heard() {
    let mut call = Call::start(json!("t")).await;
    call.hears_progress().await;
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    call.says(cancel).await;
    call.hears_nothing_for(SECOND).await;
    call.is_at(Phase::Answering, 1);
    call.ends_with(ErrorKind::Cancelled);
    call.hears_nothing_for(SECOND * 60).await;
    assert_eq!(call.progress.receiver_count(), 1, "only the test's own hold on the call is left");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_consultation_vanished_is_answered_internal() {
    let Call { progress, answer, mut to_client, to_server: _open, _service, .. } =
        Call::start(json!(null)).await;
    tokio::time::sleep(SECOND).await;
    drop((progress, answer));
    let answer = to_client.recv().await.unwrap();
    assert_eq!(answer["result"]["_meta"]["exai/error"]["kind"], "internal");
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_told_at_once_and_from_then_on() {
    let mut call = Call::start(json!("t")).await;
    call.hears_progress().await;
    call.is_at(Phase::Thinking, 0);
    call.hears_progress().await;
    let drains_at = clock::now();
    call.draining.cancel();
    let told = "thinking, 1 s; the server is shutting down and waits up to 25 s for this answer";
    assert_eq!(call.hears_progress().await, (3.0, told.to_owned()));
    assert_eq!(clock::now(), drains_at);
    assert!(call.hears_progress().await.1.ends_with("for this answer"));
    assert_eq!(clock::now() - drains_at, SECOND * 10);
}
