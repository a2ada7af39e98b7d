//! The circuit breaker through its messages, in virtual time: no upstream is asked, calls are what the tests say of them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "provider_supervisor/support.rs"]
mod support;

use std::time::Duration;

use exai_actors::error::ErrorKind;
use exai_actors::health::Status;
use exai_actors::metrics::messages::BreakerPosition;
use exai_actors::provider::messages::FailureClass;
use exai_actors::provider_supervisor::messages::{BreakerState, Order, ParkReason, Settled};
use futures_util::future::join_all;

use support::{FIRST_BYTE, Rig, failed};

const A: &str = "kimi-k2.6";
const B: &str = "kimi-k2.5";

#[actix::test]
async fn half_open_lets_one_of_a_thousand_go() {
    let rig = Rig::start();
    let wait = rig.open(A).await;
    for closed_after in [3, 2, 1] {
        tokio::time::sleep(if closed_after == 3 { wait } else { Duration::ZERO }).await;
        let asked = join_all((0..1_000).map(|_| rig.ask(A))).await;
        let (granted, refused): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
        assert_eq!((granted.len(), refused.len()), (1, 999));
        for refusal in refused.into_iter().filter_map(Result::err) {
            assert_eq!(
                (refusal.kind, &refusal.detail["state"]),
                (ErrorKind::BreakerOpen, &"half_open".into())
            );
            assert!(refusal.retry_after_ms.is_some_and(|wait| wait <= 1_000));
        }
        let probe = granted.into_iter().find_map(Result::ok).unwrap();
        assert_eq!(probe.breaker, BreakerState::HalfOpen);
        probe.settle(Settled::Answered);
    }
    assert_eq!(rig.ask(A).await.unwrap().breaker, BreakerState::Closed);
    assert_eq!(rig.position(A).await, BreakerPosition::Closed);
    assert_eq!(rig.status(), Status::Ok);
    let moves = rig.moves().await;
    assert_eq!(
        moves,
        [("kimi:kimi-k2.6:closed", 1), ("kimi:kimi-k2.6:half_open", 1), ("kimi:kimi-k2.6:open", 1)]
            .map(|(name, times)| (name.to_owned(), times))
            .into()
    );
}

#[actix::test]
async fn an_open_one_says_since_when_and_until_when() {
    let rig = Rig::start();
    let wait = rig.open(A).await;
    assert!((Duration::from_secs(4)..=Duration::from_secs(6)).contains(&wait), "{wait:?}");
    let refusal = rig.ask(A).await.unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::BreakerOpen);
    let (since, until) =
        (refusal.detail["since"].as_i64().unwrap(), refusal.detail["until"].as_i64().unwrap());
    assert!((3_990..=6_010).contains(&(until - since)), "{since} {until}");
    assert_eq!(refusal.detail["state"], "open");
    assert_eq!((&refusal.detail["provider"], &refusal.detail["model"]), (&"kimi".into(), &A.into()));
    let seen = rig.standing().await.models[&A.into()].clone();
    assert_eq!((seen.state, seen.why, seen.failures), (BreakerPosition::Open, Some("timeout"), 5));
    assert!((seen.since.0 - since).abs() < 100 && (seen.until.unwrap().0 - until).abs() < 100);
}

#[actix::test]
async fn a_dropped_ticket_frees_its_place_and_counts_nothing() {
    let rig = Rig::start();
    tokio::time::sleep(rig.open(A).await).await;
    for _ in 0..10 {
        let probe = rig.ask(A).await.unwrap();
        assert!(rig.ask(A).await.is_err());
        drop(probe);
    }
    assert_eq!(rig.position(A).await, BreakerPosition::HalfOpen);
}

#[actix::test]
async fn a_ticket_that_nobody_gives_back_is_taken_back() {
    let rig = Rig::start();
    tokio::time::sleep(rig.open(A).await).await;
    let lost = rig.ask(A).await.unwrap();
    tokio::time::sleep(FIRST_BYTE + Duration::from_secs(29)).await;
    assert!(rig.ask(A).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let probe = rig.ask(A).await.unwrap();
    lost.settle(failed(FailureClass::Timeout));
    assert_eq!(rig.position(A).await, BreakerPosition::HalfOpen, "a late outcome changes nothing");
    assert!(rig.ask(A).await.is_err());
    drop(probe);
}

#[actix::test]
async fn one_long_answer_does_not_hold_everybody_up() {
    let rig = Rig::start();
    tokio::time::sleep(rig.open(A).await).await;
    let probe = rig.ask(A).await.unwrap();
    tokio::time::sleep(FIRST_BYTE).await;
    probe.answering();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(rig.ask(A).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.ask(A).await.unwrap().breaker, BreakerState::Closed);
    probe.settle(failed(FailureClass::BrokenStream));
    assert_eq!(rig.position(A).await, BreakerPosition::Open, "it was trusted, and failed after all");
}

#[actix::test]
async fn a_late_outcome_changes_nothing() {
    let rig = Rig::start();
    let early = join_all((0..20).map(|_| rig.ask(A))).await;
    let wait = rig.open(A).await;
    let mut early = early.into_iter().map(Result::unwrap);
    early.next().unwrap().settle(Settled::Answered);
    assert_eq!(rig.position(A).await, BreakerPosition::Open);
    tokio::time::sleep(wait).await;
    for _ in 0..3 {
        early.next().unwrap().settle(failed(FailureClass::Reset));
        rig.ask(A).await.unwrap().settle(Settled::Answered);
    }
    for ticket in early {
        ticket.settle(failed(FailureClass::Reset));
    }
    assert_eq!(rig.position(A).await, BreakerPosition::Closed);
}

#[actix::test]
async fn a_sibling_stays_closed() {
    let rig = Rig::start();
    rig.open(A).await;
    for _ in 0..100 {
        rig.ask(B).await.unwrap().settle(Settled::Answered);
    }
    assert_eq!(rig.free(&[A, B]).await, Some(B.into()));
    let health = rig.health();
    assert_eq!(health.status, Status::Degraded);
    assert!(health.detail.contains(A) && !health.detail.contains(B), "{}", health.detail);
    assert_eq!(rig.standing().await.breaker, BreakerState::Closed);
}

#[actix::test]
async fn a_busy_provider_is_not_a_broken_one() {
    let rig = Rig::start();
    let wait = Duration::from_secs(20);
    let busy = Settled::Failed { class: FailureClass::Busy, retry_after: Some(wait) };
    rig.ask(A).await.unwrap().settle(busy);
    let refusal = rig.ask(A).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.retry_after_ms), (ErrorKind::RateLimited, Some(20_000)));
    assert_eq!(rig.free(&[A, B]).await, Some(B.into()));
    assert!(rig.standing().await.models[&A.into()].gate_until.is_some());
    assert_eq!((rig.status(), rig.position(A).await), (Status::Ok, BreakerPosition::Closed));
    tokio::time::sleep(wait).await;
    rig.ask(A).await.unwrap();
}

#[actix::test]
async fn a_refused_key_parks_the_provider_until_it_is_reset() {
    let rig = Rig::start();
    rig.ask(A).await.unwrap().settle(failed(FailureClass::Key));
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    let refusal = rig.ask(B).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.retry_after_ms), (ErrorKind::BreakerOpen, None));
    assert_eq!((&refusal.detail["state"], &refusal.detail["reason"]), (&"parked".into(), &"key".into()));
    assert_eq!((rig.status(), rig.free(&[A, B]).await), (Status::Down, None));
    let standing = rig.standing().await;
    assert_eq!(standing.breaker, BreakerState::Open);
    let parked = standing.parked.unwrap();
    assert_eq!((parked.reason, parked.until), (ParkReason::Key, None));
    rig.operate(None, Order::Reset).await;
    assert_eq!(rig.status(), Status::Ok);
    rig.ask(B).await.unwrap();
}

#[actix::test]
async fn a_spent_quota_parks_the_provider_until_it_is_whole() {
    let rig = Rig::start();
    let wait = Duration::from_secs(3_600);
    rig.ask(A).await.unwrap().settle(Settled::Failed { class: FailureClass::Quota, retry_after: Some(wait) });
    let refusal = rig.ask(B).await.unwrap_err();
    assert_eq!((&refusal.detail["reason"], refusal.retry_after_ms), (&"quota".into(), Some(3_600_000)));
    assert_eq!(rig.status(), Status::Down);
    // Nobody asks meanwhile, and still the board is right.
    tokio::time::sleep(wait + Duration::from_secs(2)).await;
    assert_eq!(rig.status(), Status::Ok);
    rig.ask(B).await.unwrap();
}

#[actix::test]
async fn the_board_follows_the_time_by_itself() {
    let rig = Rig::start();
    for model in ["a", "b", "c", "d", "e"] {
        rig.ask(model).await.unwrap().settle(failed(FailureClass::Connect));
    }
    assert_eq!(rig.standing().await.own.why, Some("connect"));
    let mut details = vec![];
    for _ in 0..8 {
        details.push((rig.status(), rig.health().detail));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(details.first().unwrap().0, Status::Down);
    assert_ne!(details[0].1, details[2].1, "it counts down");
    assert_eq!(details.last().unwrap().0, Status::Degraded, "{details:?}");
    assert!(!details.last().unwrap().1.contains("again in"), "{details:?}");
}

#[actix::test]
async fn the_operator_forces_it_open_and_lets_it_be() {
    let rig = Rig::start();
    rig.operate(Some(A), Order::ForceOpen).await;
    let refusal = rig.ask(A).await.unwrap_err();
    assert_eq!((refusal.retry_after_ms, &refusal.detail["state"]), (None, &"forced_open".into()));
    rig.ask(B).await.unwrap();
    assert_eq!(rig.status(), Status::Degraded);

    rig.operate(None, Order::ForceOpen).await;
    assert_eq!(rig.ask(B).await.unwrap_err().detail["state"], "forced_open");
    assert_eq!(rig.status(), Status::Down);

    rig.operate(None, Order::Reset).await;
    assert_eq!(rig.status(), Status::Ok);
    rig.operate(Some(A), Order::Disable).await;
    for _ in 0..50 {
        rig.ask(A).await.unwrap().settle(failed(FailureClass::Server));
    }
    assert_eq!((rig.position(A).await, rig.status()), (BreakerPosition::Disabled, Status::Ok));
}

#[actix::test]
async fn retries_are_refused_beyond_their_budget() {
    let rig = Rig::start();
    let asked = join_all((0..15).map(|_| rig.attempt(A, 2))).await;
    let refused = asked.into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert_eq!(refused.len(), 5);
    assert!(refused.iter().all(|refusal| refusal.kind == ErrorKind::OverCapacity));
    assert_eq!(rig.standing().await.retries_left, 0);
    rig.ask(A).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.standing().await.retries_left, 10);
}

#[actix::test]
async fn its_standing_is_json_without_a_key() {
    let rig = Rig::start();
    rig.open(A).await;
    let json = serde_json::to_value(rig.standing().await).unwrap();
    assert_eq!(json["own"]["state"], "closed");
    assert_eq!(json["models"][A]["state"], "open");
    assert_eq!(json["models"][A]["why"], "timeout");
    assert!(json["models"][A]["until"].is_i64() && json["parked"].is_null());
    assert_eq!(json["key_fingerprint"].as_str().unwrap().len(), 8);
    assert!(!json.to_string().contains(support::KEY));
}

#[test]
fn tickets_travel_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<exai_actors::provider_supervisor::messages::Ticket>();
}
