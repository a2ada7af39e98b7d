//! The one retry loop: what is sent again, what never is, and that every request has its row.

use std::time::Duration;

use exai_actors::clock;
use exai_actors::dispatcher::messages::{Phase, Question};
use exai_actors::error::ErrorKind;
use exai_actors::storage::rows::CallState;
use exai_upstream::Script;

use crate::support::{Core, SOON, ask};

const ATTEMPTS: &str =
    "SELECT n || ' ' || state || ' ' || coalesce(status, 0) AS t FROM attempts ORDER BY call_id, n";

#[actix::test]
async fn a_failure_that_passes_is_retried_and_every_request_has_a_row() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("refuse=503"));
    core.kimi.push_script(Script::of("refuse=overloaded"));
    let finished = core.answer(ask("why?")).await.expect("the third request is answered");
    assert_eq!(finished.receipt.attempts, 3);
    assert_eq!(core.texts(ATTEMPTS), ["1 failed 503", "2 failed 429", "3 completed 200"]);
    let journal = core.kimi.journal();
    assert_eq!(journal.len(), 3);
    assert!(journal.iter().all(|entry| entry.body_hash == journal[0].body_hash));
    assert_eq!(core.texts("SELECT state AS t FROM calls"), ["completed"]);
}

#[actix::test]
async fn three_requests_are_the_most_and_the_last_failure_is_the_answer() {
    let core = Core::start().await;
    core.kimi.set_default(Script::of("refuse=502"));
    let error = core.answer(ask("why?")).await.expect_err("it fails each time");
    assert_eq!((error.kind, &error.detail["status"]), (ErrorKind::UpstreamError, &502.into()));
    assert_eq!(core.texts(ATTEMPTS), ["1 failed 502", "2 failed 502", "3 failed 502"]);
    assert_eq!(core.kimi.journal().len(), 3);
}

#[actix::test]
async fn what_may_have_run_is_not_sent_again() {
    for script in [
        "reset",
        "cut-after=4",
        "error-after=4",
        "garbage-after=4",
        "html",
        "reset-after=3",
        "refuse=content_filter",
    ] {
        let core = Core::start().await;
        core.kimi.push_script(Script::of(script));
        core.answer(ask("why?")).await.expect_err(script);
        assert_eq!(core.kimi.journal().len(), 1, "{script}");
        assert_eq!(core.load().await.in_flight, 0);
    }
}

#[actix::test]
async fn a_wait_that_the_upstream_names_is_kept() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("refuse=429+retry-after=1"));
    let asked = clock::now();
    let finished = core.answer(ask("why?")).await.expect("the second request is answered");
    let took = clock::now() - asked;
    assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert_eq!(finished.receipt.attempts, 2);
}

#[actix::test]
async fn a_wait_past_the_deadline_is_not_begun() {
    let core = Core::with(|setup| setup.deadline = Duration::from_secs(5)).await;
    core.kimi.push_script(Script::of("refuse=429+retry-after=60"));
    let asked = clock::now();
    let error = core.answer(ask("why?")).await.expect_err("it would be too late");
    assert_eq!(error.kind, ErrorKind::RateLimited);
    assert!(error.retry_after_ms.is_some_and(|wait| (59_000..=60_000).contains(&wait)), "{error:?}");
    assert!(clock::now() - asked < Duration::from_secs(3));
    assert_eq!(core.kimi.journal().len(), 1);
}

#[actix::test]
async fn a_wait_that_is_told_is_the_one_that_is_kept() {
    let core = Core::with(|setup| setup.deadline = Duration::from_secs(2)).await;
    // They went together, and the provider asks them for different patience.
    core.kimi.push_script(Script::of("slow-headers=100+refuse=429+retry-after=3"));
    core.kimi.push_script(Script::of("slow-headers=400+refuse=429+retry-after=2"));
    core.kimi.set_default(Script::of("tokens=2+pace=0"));
    let first = core.consult(ask("why?"), None).await.expect("taken");
    while core.kimi.journal().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = core.consult(ask("and why?"), None).await.expect("taken");
    let mut told = Vec::new();
    for mut attached in [first, second] {
        let answer = attached.answered().await;
        let error = answer.as_ref().as_ref().expect_err("it would be too late");
        told.push(Duration::from_millis(error.retry_after_ms.expect("a wait")));
    }
    let goes_at = clock::now() + told[1];
    assert!(told[1] > Duration::from_millis(2_100) && told[1] <= told[0], "{told:?}");
    let refused = core.answer(ask("already?")).await.expect_err("too early");
    let again = clock::now() + Duration::from_millis(refused.retry_after_ms.expect("a wait"));
    assert_eq!(refused.kind, ErrorKind::RateLimited);
    let off = goes_at.max(again) - goes_at.min(again);
    assert!(off < Duration::from_millis(500), "{told:?}, and then {off:?} beside it");
    assert_eq!(core.kimi.journal().len(), 2);
    tokio::time::sleep_until(goes_at).await;
    core.answer(ask("and now?")).await.expect("the provider is asked again");
}

#[actix::test]
async fn a_wait_that_nobody_named_is_told_as_it_is_kept() {
    let core = Core::start().await;
    core.kimi.set_default(Script::of("refuse=overloaded"));
    let told = core.answer(ask("why?")).await.expect_err("it is busy").retry_after_ms.expect("a wait");
    assert_eq!(core.kimi.journal().len(), 3);
    assert!((3_000..=4_000).contains(&told), "the third refusal in a row: {told}");
    let again = core.answer(ask("already?")).await.expect_err("too early").retry_after_ms.expect("a wait");
    assert!(told >= again && told - again < 500, "{told}, and then {again}");
}

#[actix::test]
async fn a_restart_of_the_upstream_costs_no_call() {
    let core = Core::start().await;
    core.kimi.set_default(Script::of("delay=100+tokens=2+pace=0+corpse"));
    let before = (0..3).map(|n| core.answer(ask(&format!("why {n}?"))));
    for answered in futures_util::future::join_all(before).await {
        answered.expect("an answer");
    }
    core.kimi.set_default(Script::of("tokens=2+pace=0"));
    let finished = core.answer(ask("and now?")).await.expect("it is sent again");
    assert_eq!(finished.receipt.attempts, 2);
    assert_eq!(core.kimi.journal().len(), 4, "nobody has seen the first request");
}

#[actix::test]
async fn a_call_that_waits_to_be_sent_again_can_be_cancelled() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("refuse=429+retry-after=10"));
    let mut attached = core.consult(ask("why?"), None).await.expect("taken");
    attached.progress.wait_for(|progress| progress.phase == Phase::Retrying).await.expect("it waits");
    core.cancel(attached.call);
    let error = attached.answered().await;
    assert_eq!(error.as_ref().as_ref().expect_err("cancelled").kind, ErrorKind::Cancelled);
    assert_eq!(core.stored(attached.call).await.map(|call| call.state), Some(CallState::Cancelled));
    assert_eq!(core.texts(ATTEMPTS), ["1 failed 429"]);
    assert_eq!(core.load().await.in_flight, 0);
}

#[actix::test]
async fn what_waits_to_be_sent_again_holds_no_permit() {
    let core = Core::start().await;
    let mut waiting = Vec::new();
    for n in 0..8 {
        core.kimi.push_script(Script::of("slow-headers=400+refuse=429+retry-after=10"));
        waiting.push(core.consult(ask(&format!("why {n}?")), None).await.expect("taken"));
    }
    for one in &mut waiting {
        one.progress.wait_for(|progress| progress.phase == Phase::Retrying).await.expect("it waits");
    }
    assert_eq!(core.load().await.in_flight, 0);
    let sibling = Question { model: Some("kimi-k3".to_owned()), ..ask("and a sibling?") };
    let sibling = core.answer(sibling).await.expect("there is room");
    assert_eq!(sibling.receipt.queue_ms, 0);
    for one in waiting {
        core.cancel(one.call);
    }
}

#[actix::test]
async fn a_drain_that_meets_a_wait_is_quick_and_says_what_is_true() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("refuse=503+retry-after=8"));
    let mut attached = core.consult(ask("why?"), Some("key")).await.expect("taken");
    attached.progress.wait_for(|progress| progress.phase == Phase::Retrying).await.expect("it waits");
    let began = clock::now();
    assert_eq!(core.drain(SOON).await, 0);
    assert!(clock::now() - began < Duration::from_secs(4));
    let answer = attached.answered().await;
    let error = answer.as_ref().as_ref().expect_err("it was refused");
    assert_eq!((error.kind, &error.detail["status"]), (ErrorKind::UpstreamError, &503.into()));
    assert_eq!(core.texts("SELECT state AS t FROM calls"), ["failed"]);
    assert_eq!(core.texts(ATTEMPTS), ["1 failed 503"]);
    assert_eq!(core.kimi.journal().len(), 1);
}
