//! Consultations through the dispatcher's messages, over a real database file and the upstream double on the wire.

#[path = "dispatcher/lasting.rs"]
mod lasting;
#[path = "dispatcher/late.rs"]
mod late;
#[path = "dispatcher/retries.rs"]
mod retries;
#[path = "dispatcher/support.rs"]
mod support;

use std::time::Duration;

use exai_actors::dispatcher::messages::{Phase, Question};
use exai_actors::error::ErrorKind;
use exai_actors::ids::ConversationId;
use exai_actors::storage::rows::CallState;
use exai_upstream::{Ended, Make};
use support::{Core, SOON, ask};

#[actix::test]
async fn a_question_is_answered_and_the_receipt_is_true() {
    let core = Core::start().await;
    let finished = core.answer(ask("what is an actor?")).await.expect("an answer");
    let entry = core.kimi.journal().pop().expect("one request");
    let receipt = finished.receipt;
    assert!(finished.text.contains("what is an actor?"), "the double quotes the question");
    assert_eq!(
        (receipt.host.as_str(), receipt.key_fingerprint.as_str()),
        (&*entry.host, &*entry.key_fingerprint)
    );
    assert_eq!(receipt.model_served, entry.model);
    assert_eq!(receipt.tokens.map(|tokens| u64::from(tokens.prompt)), Some(entry.prompt_tokens as u64));
    assert!(receipt.cost_usd.is_some_and(|cost| cost > 0.0));
    assert_eq!((receipt.turns.used, receipt.turns.sent), (0, 0));
    let load = core.load().await;
    assert_eq!((load.in_flight, load.waiting), (0, 0));
}

#[actix::test]
async fn a_conversation_goes_on_with_its_model_and_its_turns() {
    let core = Core::start().await;
    let first =
        core.answer(Question { model: Some("glm-4.7".to_owned()), ..ask("one") }).await.expect("an answer");
    let conversation = Some(first.receipt.conversation_id);
    let second = core.answer(Question { conversation, ..ask("two") }).await.expect("an answer");
    assert_eq!(second.receipt.model_asked, first.receipt.model_asked);
    assert_eq!(second.receipt.conversation_id, first.receipt.conversation_id);
    assert_eq!((second.receipt.turns.used, second.receipt.turns.sent), (2, 2));
    assert_eq!(core.glm.journal().last().map(|entry| entry.messages), Some(3));
    assert_eq!(core.kimi.journal().len(), 0);
    let elsewhere =
        core.answer(Question { conversation, model: Some("kimi-k2.6".to_owned()), ..ask("three") }).await;
    assert_eq!(elsewhere.expect("an answer").receipt.turns.sent, 4);
    let lost = core.answer(Question { conversation: Some(ConversationId::mint()), ..ask("four") }).await;
    assert_eq!(lost.err().map(|error| error.kind), Some(ErrorKind::NotFound));
}

#[actix::test]
async fn one_conversation_answers_one_question_at_a_time() {
    let core = Core::start().await;
    let conversation = Some(core.answer(ask("one")).await.expect("an answer").receipt.conversation_id);
    let two = core.answer(Question { conversation, ..ask("two") });
    let three = core.answer(Question { conversation, ..ask("three") });
    let (two, three) = futures_util::join!(two, three);
    let mut used = [two, three].map(|answer| answer.expect("an answer").receipt.turns.used);
    used.sort_unstable();
    assert_eq!(used, [2, 4], "the second of them saw the turns of the first");
}

#[actix::test]
async fn refusals_are_typed_and_reach_nobody() {
    let core = Core::start().await;
    let unknown = core.answer(Question { model: Some("gpt-0".to_owned()), ..ask("why?") }).await;
    assert_eq!(unknown.err().map(|error| error.kind), Some(ErrorKind::UnknownModel));
    let cap = core.answer(Question { output_tokens_max: Some(1_000_000), ..ask("why?") }).await;
    assert_eq!(cap.err().map(|error| error.kind), Some(ErrorKind::InvalidArguments));
    let long = "word ".repeat(400_000);
    let long = core.answer(ask(&long)).await;
    assert_eq!(long.err().map(|error| error.kind), Some(ErrorKind::TooLarge));
    assert!(core.kimi.journal().is_empty() && core.glm.journal().is_empty());
}

#[actix::test]
async fn a_failed_call_is_typed_journalled_and_gives_its_permits_back() {
    let core = Core::start().await;
    core.kimi.push_script(exai_upstream::Script::of("refuse=content_filter"));
    let error = core.answer(ask("why?")).await.expect_err("a failure");
    assert_eq!(error.kind, ErrorKind::UpstreamRejected);
    let call = error.call_id.expect("it was accepted");
    let stored = core.stored(call).await.expect("it is in the journal");
    assert_eq!(stored.state, CallState::Failed);
    assert_eq!(core.load().await.in_flight, 0);
}

#[actix::test]
async fn cancel_closes_the_upstream_and_is_journalled() {
    let core = Core::start().await;
    core.kimi.push_script(exai_upstream::Script::of("stall-after=3"));
    let mut attached = core.consult(ask("why?"), None).await.expect("taken");
    attached.progress.wait_for(|progress| progress.phase >= Phase::Dispatched).await.expect("it runs");
    core.cancel(attached.call);
    let answer = attached.answered().await;
    let error = answer.as_ref().as_ref().expect_err("it was cancelled");
    assert_eq!(error.kind, ErrorKind::Cancelled);
    let closed =
        core.kimi.wait_for(SOON, |journal| journal.iter().all(|entry| entry.ended == Ended::ClientClosed));
    assert!(closed, "the upstream's socket closes");
    let stored = core.stored(attached.call).await.expect("it is in the journal");
    assert_eq!(stored.state, CallState::Cancelled);
    assert_eq!(core.load().await.in_flight, 0);
}

#[actix::test]
async fn a_call_ends_with_its_deadline() {
    let core = Core::with(|setup| setup.deadline = Duration::from_millis(300)).await;
    core.kimi.push_script(exai_upstream::Script::of("stall-after=1"));
    let error = core.answer(ask("why?")).await.expect_err("it cannot end otherwise");
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    assert_eq!(core.load().await.in_flight, 0);
}

#[actix::test]
async fn who_waits_too_long_is_refused_and_the_neighbour_is_not_slowed() {
    let core = Core::with(|setup| {
        setup.queue_wait = Duration::from_millis(200);
        setup.limits.per_provider.insert("kimi".into(), 1);
    })
    .await;
    core.kimi.push_script(exai_upstream::Script::of("stall-after=1"));
    let mut hung = core.consult(ask("why?"), None).await.expect("taken");
    hung.progress.wait_for(|progress| progress.phase >= Phase::Dispatched).await.expect("it runs");
    let waits = core.answer(ask("and why?"));
    let neighbour = core.answer(Question { model: Some("glm-4.7".to_owned()), ..ask("why?") });
    let (waits, neighbour) = futures_util::join!(waits, neighbour);
    assert!(neighbour.is_ok());
    let refused = waits.expect_err("no permit came free");
    assert_eq!(refused.kind, ErrorKind::OverCapacity);
    assert!(refused.retry_after_ms.is_some());
    core.cancel(hung.call);
    hung.answered().await;
    let load = core.load().await;
    assert_eq!((load.in_flight, load.waiting), (0, 0));
}

#[actix::test]
async fn one_key_is_one_upstream_request_and_one_answer() {
    let core = Core::start().await;
    core.kimi.set_default(exai_upstream::Script::of("delay=200+pace=0+tokens=5"));
    let askers = (0..20).map(|_| core.keyed(ask("why?"), "key-1"));
    let answers = futures_util::future::join_all(askers).await;
    let first = answers[0].as_ref().expect("an answer").clone();
    assert!(answers.iter().all(|answer| answer.as_ref().ok() == Some(&first)));
    let later = core.keyed(ask("why?"), "key-1").await.expect("the stored answer");
    assert_eq!(later, first, "byte for byte, receipt and all");
    assert_eq!(core.kimi.journal().len(), 1);
    let other = core.keyed(ask("why not?"), "key-1").await;
    assert_eq!(other.err().map(|error| error.kind), Some(ErrorKind::Conflict));
    assert_eq!(core.kimi.journal().len(), 1);
}

#[actix::test]
async fn a_key_whose_call_was_never_sent_may_be_used_again() {
    let core = Core::with(|setup| {
        setup.queue_wait = Duration::from_millis(100);
        setup.limits.per_provider.insert("kimi".into(), 1);
    })
    .await;
    core.kimi.push_script(exai_upstream::Script::of("stall-after=1"));
    let mut hung = core.consult(ask("why?"), None).await.expect("taken");
    hung.progress.wait_for(|progress| progress.phase >= Phase::Dispatched).await.expect("it runs");
    let refused = core.keyed(ask("and why?"), "key-2").await.expect_err("no permit came free");
    assert_eq!(refused.kind, ErrorKind::OverCapacity);
    core.cancel(hung.call);
    hung.answered().await;
    assert!(core.keyed(ask("and why?"), "key-2").await.is_ok());
}

#[actix::test]
async fn who_waited_stays_with_the_model_its_permits_are_for() {
    let core = Core::start().await;
    let conversation = Some(core.answer(ask("one")).await.expect("an answer").receipt.conversation_id);
    core.glm.push_script(exai_upstream::Script::of("delay=300+pace=0+tokens=5"));
    let glm = core.answer(Question { conversation, model: Some("glm-4.7".to_owned()), ..ask("two") });
    let waits = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        core.answer(Question { conversation, ..ask("three") }).await
    };
    let (glm, waited) = futures_util::join!(glm, waits);
    assert_eq!(glm.expect("an answer").receipt.provider.as_str(), "glm");
    let receipt = waited.expect("an answer").receipt;
    assert_eq!((receipt.provider.as_str(), receipt.turns.used), ("kimi", 4));
    assert!(receipt.queue_ms > 0);
}

#[actix::test]
async fn a_draining_dispatcher_refuses_and_lets_running_calls_end() {
    let core = Core::start().await;
    core.kimi.push_script(exai_upstream::Script::of("delay=300+pace=0+tokens=5"));
    let mut running = core.consult(ask("why?"), None).await.expect("taken");
    running.progress.wait_for(|progress| progress.phase >= Phase::Dispatched).await.expect("it runs");
    let (left, refused) = futures_util::join!(core.drain(SOON), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        core.answer(ask("one more")).await
    });
    assert_eq!(left, 0);
    assert_eq!(refused.err().map(|error| error.kind), Some(ErrorKind::Draining));
    assert!(running.answered().await.is_ok());
}

#[actix::test]
async fn what_a_drain_cannot_finish_is_answered_and_journalled() {
    let core = Core::with(|setup| setup.limits.per_provider = [("kimi".into(), 1)].into()).await;
    core.kimi.set_default(exai_upstream::Script::of("stall-after=1"));
    let mut sent = core.consult(ask("why?"), None).await.expect("taken");
    sent.progress.wait_for(|progress| progress.phase >= Phase::Dispatched).await.expect("it runs");
    let mut waits = core.consult(ask("and why?"), None).await.expect("taken");
    waits.progress.wait_for(|progress| progress.phase >= Phase::Waiting).await.expect("it waits");
    let left = core.drain(Duration::from_millis(200)).await;
    assert_eq!(left, 1, "the one that waited was let go at once, the one that was sent had its time");
    for (attached, state) in [(&mut sent, CallState::Unknown), (&mut waits, CallState::Interrupted)] {
        let answer = attached.answered().await;
        assert_eq!(answer.as_ref().as_ref().expect_err("no answer").kind, ErrorKind::Draining);
        assert_eq!(core.stored(attached.call).await.map(|call| call.state), Some(state));
    }
    assert_eq!(core.kimi.journal().len(), 1);
}

#[actix::test]
async fn the_doubles_of_both_makes_answer_at_once() {
    let core = Core::start().await;
    let kimi = core.answer(ask("why?"));
    let glm = core.answer(Question { model: Some("glm".to_owned()), ..ask("why?") });
    let (kimi, glm) = futures_util::join!(kimi, glm);
    assert_eq!(kimi.expect("an answer").receipt.host, core.host(Make::Kimi));
    assert_eq!(glm.expect("an answer").receipt.host, core.host(Make::Glm));
}
