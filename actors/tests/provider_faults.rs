//! Panics planted in provider and supervisor: what dies with them, and what does not. Alone in its process, because the points
//! are the process's.
#![cfg(feature = "faults")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "provider/support.rs"]
#[expect(dead_code, reason = "shared with the tests on the wire, which use all of it")]
mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Addr, Arbiter};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::faults::{self, Point};
use exai_actors::health::{HealthBoard, Status};
use exai_actors::mail::{self, MailError};
use exai_actors::metrics;
use exai_actors::provider::endpoint::Key;
use exai_actors::provider::messages::FailureClass;
use exai_actors::provider_supervisor::messages::{
    BreakerState, GetStanding, Operate, Order, Settled, TakeTicket, Ticket,
};
use exai_actors::provider_supervisor::{self, ProviderConfig, ProviderSupervisor, Wiring};
use exai_actors::supervised::Death;
use exai_upstream::{Make, Upstream};

use support::{Running, SOON, begin, dialect, outcome, prompt, rig};

/// One test at a time: an armed point is hit by whoever comes first.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[actix::test]
#[expect(clippy::await_holding_lock, reason = "held for the whole test, on a runtime of its own")]
async fn a_panic_of_the_provider_does_not_touch_running_calls() {
    let _alone = alone();
    let rig = rig(Make::Kimi);
    let running = (0..10).map(|_| rig.begin("tokens=40+pace=10")).collect::<Vec<_>>();
    assert!(all_begun(&rig).await);
    faults::arm(Point::Provider, 1);
    let poisoned = rig.begin("");
    assert!(poisoned.outcome.await.is_err(), "the message in hand is lost, and its asker hears so");
    for running in running {
        outcome(running).await.unwrap();
    }
    rig.ask("").await.unwrap();
    assert_eq!(rig.upstream.journal().len(), 11);
}

/// Waits until ten calls have reached the double, without blocking the thread that they run on.
async fn all_begun(rig: &support::Rig) -> bool {
    for _ in 0..1_000 {
        if rig.upstream.journal().len() == 10 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

#[actix::test]
#[expect(clippy::await_holding_lock, reason = "held for the whole test, on a runtime of its own")]
async fn a_panic_of_a_call_is_its_own() {
    let _alone = alone();
    let rig = rig(Make::Glm);
    faults::arm(Point::UpstreamCall, 1);
    let Running { outcome: lost, .. } = rig.begin("");
    assert!(lost.await.is_err());
    rig.ask("").await.unwrap();
    assert_eq!(rig.tasks.len(), 0);
}

struct Supervised {
    upstream: Upstream,
    board: HealthBoard,
    supervisor: Addr<ProviderSupervisor>,
    deaths: Arc<AtomicU32>,
}

fn supervised() -> Supervised {
    let upstream = Upstream::start(Make::Kimi).unwrap();
    let config =
        ProviderConfig::new("kimi".into(), dialect(Make::Kimi), upstream.base_url(), Key::new("sk-kimi"));
    let board = HealthBoard::default();
    let deaths = Arc::new(AtomicU32::new(0));
    let noted = Arc::clone(&deaths);
    let on_death = move |_: &'static str, _: Death| {
        noted.fetch_add(1, Ordering::SeqCst);
    };
    let arbiter = Arbiter::current();
    let metrics = metrics::start(metrics::Wiring { arbiter: &arbiter, flushing: None }, |_| {}).address;
    let wiring = Wiring { arbiter: &arbiter, board: board.clone(), metrics };
    let supervisor = provider_supervisor::start(&config, wiring, on_death).unwrap();
    Supervised { upstream, board, supervisor, deaths }
}

impl Supervised {
    async fn ticket(&self) -> Result<Ticket, CallError> {
        mail::ask(&self.supervisor, TakeTicket { model: "kimi-k2.6".into(), attempt: 1 }, SOON).await.unwrap()
    }

    async fn begin(&self, script: &str) -> Running {
        let model = format!("kimi-k2.6+{script}");
        begin(&self.ticket().await.unwrap().provider, prompt(&"kimi".into(), &model))
    }
}

#[actix::test]
#[expect(clippy::await_holding_lock, reason = "held for the whole test, on a runtime of its own")]
async fn a_provider_outlives_its_supervisors_panic() {
    let _alone = alone();
    let rig = supervised();
    let running = rig.begin("tokens=40+pace=10").await;
    let before = rig.ticket().await.unwrap().provider.clone();
    faults::arm(Point::ProviderSupervisor, 1);
    let poisoned = mail::ask(&rig.supervisor, TakeTicket { model: "m".into(), attempt: 1 }, SOON).await;
    assert_eq!(poisoned.err(), Some(MailError::Closed));
    let after = rig.ticket().await.unwrap().provider.clone();
    assert!(before.connected() && before == after);
    outcome(running).await.unwrap();
    assert_eq!(rig.upstream.journal().len(), 1);
    assert_eq!(rig.deaths.load(Ordering::SeqCst), 1);
}

#[actix::test]
#[expect(clippy::await_holding_lock, reason = "held for the whole test, on a runtime of its own")]
async fn a_supervisors_panic_forgets_nothing() {
    let _alone = alone();
    let rig = supervised();
    let early = rig.ticket().await.unwrap();
    for _ in 0..5 {
        let failed = Settled::Failed { class: FailureClass::Timeout, retry_after: None };
        rig.ticket().await.unwrap().settle(failed);
    }
    let before = rig.ticket().await.unwrap_err();
    faults::arm(Point::ProviderSupervisor, 1);
    let poisoned = mail::ask(&rig.supervisor, TakeTicket { model: "m".into(), attempt: 1 }, SOON).await;
    assert_eq!(poisoned.err(), Some(MailError::Closed));
    early.settle(Settled::Answered);
    let after = rig.ticket().await.unwrap_err();
    assert_eq!((after.kind, &after.detail["state"]), (ErrorKind::BreakerOpen, &"open".into()));
    let until = |refusal: &CallError| refusal.detail["until"].as_i64().unwrap();
    assert!((until(&before) - until(&after)).abs() < 100);
    tokio::time::sleep(Duration::from_millis(after.retry_after_ms.unwrap())).await;
    let probe = rig.ticket().await.unwrap();
    faults::arm(Point::ProviderSupervisor, 1);
    assert!(mail::ask(&rig.supervisor, TakeTicket { model: "m".into(), attempt: 1 }, SOON).await.is_err());
    assert_eq!(rig.ticket().await.unwrap_err().detail["state"], "half_open", "the place is still taken");
    drop(probe);
    rig.ticket().await.unwrap();
    assert_eq!(rig.board.get("provider:kimi").unwrap().status, Status::Degraded);
    mail::ask(&rig.supervisor, Operate { model: None, order: Order::Reset }, SOON).await.unwrap();
    assert_eq!(rig.board.get("provider:kimi").unwrap().status, Status::Ok);
}

#[actix::test]
#[expect(clippy::await_holding_lock, reason = "held for the whole test, on a runtime of its own")]
async fn a_provider_that_dies_too_often_is_left_alone_for_a_while() {
    let _alone = alone();
    let rig = supervised();
    let running = rig.begin("tokens=100+pace=10").await;
    let provider = rig.ticket().await.unwrap().provider.clone();
    faults::arm(Point::Provider, 6);
    for _ in 0..6 {
        let lost = begin(&provider, prompt(&"kimi".into(), "kimi-k2.6"));
        assert!(lost.outcome.await.is_err());
    }
    let refused = rig.ticket().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::BreakerOpen);
    let wait = Duration::from_millis(refused.retry_after_ms.unwrap());
    assert!(wait <= Duration::from_secs(5) && wait > Duration::from_secs(4), "{wait:?}");
    assert_eq!(rig.board.get("provider:kimi").unwrap().status, Status::Down);
    let standing = mail::ask(&rig.supervisor, GetStanding, SOON).await.unwrap();
    assert_eq!((standing.breaker, standing.restarts), (BreakerState::Open, 5));
    outcome(running).await.unwrap();
    tokio::time::sleep(wait).await;
    outcome(rig.begin("tokens=3").await).await.unwrap();
    assert_eq!(rig.board.get("provider:kimi").unwrap().status, Status::Ok);
    assert_eq!(mail::ask(&rig.supervisor, GetStanding, SOON).await.unwrap().restarts, 6);
    assert_eq!(rig.deaths.load(Ordering::SeqCst), 6);
}
