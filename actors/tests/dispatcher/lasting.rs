//! Calls that outlast whoever asked: what they have so far, who may join them, and what is kept of those that end early.

use exai_actors::dispatcher::messages::{Attached, Phase};
use exai_actors::error::ErrorKind;
use exai_actors::storage::rows::CallState;
use exai_upstream::{Ended, Script};

use crate::support::{Core, SOON, ask};

/// Waits until the answer of a call arrives, and for what has come of it.
async fn until_answering(core: &Core, attached: &mut Attached) -> String {
    attached.progress.wait_for(|progress| progress.phase == Phase::Answering).await.expect("it runs");
    core.partial(attached.call).await.expect("some of the answer")
}

#[actix::test]
async fn what_has_come_so_far_can_be_had() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("think=1+stall-after=12"));
    let mut attached = core.consult(ask("why?"), None).await.expect("taken");
    assert!(!until_answering(&core, &mut attached).await.is_empty());
    core.cancel(attached.call);
    attached.answered().await;
    assert_eq!(core.partial(attached.call).await, None, "a call that has ended has no part");
}

#[actix::test]
async fn a_cancelled_call_keeps_what_it_had_and_says_what_was_spent() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("think=1+stall-after=12"));
    let mut attached = core.consult(ask("why?"), None).await.expect("taken");
    let partial = until_answering(&core, &mut attached).await;
    core.cancel(attached.call);
    let answer = attached.answered().await;
    let error = answer.as_ref().as_ref().expect_err("cancelled");
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert_eq!(error.detail["spent"]["estimated"], true);
    assert!(error.detail["spent"]["completion_tokens"].as_u64() > Some(0), "{error:?}");
    let stored = core.stored(attached.call).await.expect("in the journal");
    assert_eq!(stored.state, CallState::Cancelled);
    assert!(stored.result.is_some_and(|kept| kept.starts_with(&partial)));
    assert_eq!(core.texts("SELECT state AS t FROM attempts"), ["cancelled"]);
}

#[actix::test]
async fn a_call_that_a_drain_cuts_short_is_unknown_and_keeps_what_it_had() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("think=1+stall-after=12"));
    let mut attached = core.consult(ask("why?"), None).await.expect("taken");
    let partial = until_answering(&core, &mut attached).await;
    assert_eq!(core.drain(std::time::Duration::from_millis(100)).await, 1);
    let answer = attached.answered().await;
    assert_eq!(answer.as_ref().as_ref().expect_err("cut short").kind, ErrorKind::Draining);
    let stored = core.stored(attached.call).await.expect("in the journal");
    assert_eq!(stored.state, CallState::Unknown);
    assert!(stored.result.is_some_and(|kept| kept.starts_with(&partial)));
    assert_eq!(core.texts("SELECT state AS t FROM attempts"), ["unknown"]);
}

#[actix::test]
async fn who_asks_the_same_again_joins_the_call_that_nobody_follows() {
    let core = Core::start().await;
    core.kimi.set_default(Script::of("delay=300+pace=0+tokens=5"));
    let first = core.consult(ask("why?"), None).await.expect("taken");
    let beside = core.consult(ask("why?"), None).await.expect("taken");
    assert_ne!(first.call, beside.call, "two askers at once want two answers");
    let call = first.call;
    drop(first);
    let mut again = core.consult(ask("why?"), None).await.expect("taken");
    assert_eq!(again.call, call);
    assert!(again.answered().await.is_ok());
    assert_eq!(core.kimi.journal().len(), 2);
}

#[actix::test]
async fn a_shared_call_ends_only_when_the_last_follower_gives_it_up() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("stall-after=3"));
    let mut first = core.consult(ask("why?"), Some("key")).await.expect("taken");
    first.progress.wait_for(|progress| progress.phase >= Phase::Dispatched).await.expect("it runs");
    let second = core.consult(ask("why?"), Some("key")).await.expect("taken");
    let mut watching = second.answer.clone();
    assert_eq!(first.call, second.call);
    core.give_up(first);
    assert_eq!(core.load().await.in_flight, 1, "the second still waits for it");
    core.give_up(second);
    let answer = watching.wait_for(Option::is_some).await.expect("an answer").clone().expect("an answer");
    assert_eq!(answer.as_ref().as_ref().expect_err("cancelled").kind, ErrorKind::Cancelled);
    assert!(
        core.kimi.wait_for(SOON, |journal| journal.iter().all(|entry| entry.ended == Ended::ClientClosed))
    );
}

#[actix::test]
async fn a_call_that_nobody_follows_can_be_cancelled() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("stall-after=3"));
    let mut attached = core.consult(ask("why?"), None).await.expect("taken");
    attached.progress.wait_for(|progress| progress.phase >= Phase::Dispatched).await.expect("it runs");
    let call = attached.call;
    drop(attached);
    core.cancel(call);
    assert!(
        core.kimi.wait_for(SOON, |journal| journal.iter().all(|entry| entry.ended == Ended::ClientClosed))
    );
    while core.load().await.live > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(core.stored(call).await.map(|call| call.state), Some(CallState::Cancelled));
}

#[actix::test]
async fn an_answer_is_kept_no_longer_than_somebody_waits_for_it() {
    let core = Core::start().await;
    core.kimi.set_default(Script::of("pace=0+tokens=3"));
    let mut answers = Vec::new();
    for n in 0..100 {
        let mut attached = core.consult(ask(&format!("why {n}?")), None).await.expect("taken");
        answers.push(std::sync::Arc::downgrade(&attached.answered().await));
    }
    while core.load().await.live > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(answers.iter().all(|answer| answer.strong_count() == 0));
}
