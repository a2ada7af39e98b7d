//! A cancel reaches the upstream within 100 ms, wherever the call is.

use std::time::Duration;

use exai_actors::provider::messages::{FailureClass, GetPartial};
use exai_actors::{clock, mail};
use exai_upstream::{Ended, Make};

use crate::support::{Rig, Running, SOON, outcome, rig};

const WITHIN: Duration = Duration::from_millis(100);

/// Begins a call and waits until it is where the script stops.
async fn reached(rig: &Rig, script: &str, answering: bool) -> Running {
    let calls_before = rig.upstream.journal().len();
    let mut running = rig.begin(script);
    let reached = tokio::time::timeout(SOON, async {
        while rig.upstream.journal().len() == calls_before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while answering && running.progress.borrow().tokens == 0 {
            running.progress.changed().await.unwrap();
        }
    });
    reached.await.unwrap();
    running
}

async fn closed(rig: &Rig) -> bool {
    let begun = clock::now();
    loop {
        let ended = rig.upstream.journal().last().map(|entry| entry.ended);
        if ended == Some(Ended::ClientClosed) || begun.elapsed() > WITHIN {
            return ended == Some(Ended::ClientClosed);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

const PHASES: [(&str, bool); 5] = [
    ("slow-headers=10000", false),
    ("delay=10000", false),
    ("think=100+pace=50", true),
    ("think=0+tokens=1000+pace=5", true),
    ("think=0+pace=0+stall-after=4", true),
];

#[actix::test]
async fn a_cancel_closes_the_upstreams_socket() {
    for make in Make::ALL {
        let rig = rig(make);
        for (script, answering) in PHASES {
            let running = reached(&rig, script, answering).await;
            running.cancel.cancel();
            let begun = clock::now();
            let failure = outcome(running).await.unwrap_err();
            assert_eq!(failure.class, FailureClass::Cancelled, "{make} {script}");
            assert!(begun.elapsed() < WITHIN, "{make} {script}");
            assert!(closed(&rig).await, "{make} {script}");
        }
        assert_eq!(rig.tasks.len(), 0);
    }
}

#[actix::test]
async fn whoever_stops_waiting_stops_the_call() {
    let rig = rig(Make::Kimi);
    for (script, answering) in PHASES {
        let running = reached(&rig, script, answering).await;
        drop(running.outcome);
        assert!(closed(&rig).await, "{script}");
    }
}

#[actix::test]
async fn a_call_that_is_cancelled_before_it_begins_sends_nothing() {
    let rig = rig(Make::Glm);
    let running = rig.begin("tokens=3");
    running.cancel.cancel();
    assert_eq!(outcome(running).await.unwrap_err().class, FailureClass::Cancelled);
    assert_eq!(rig.upstream.journal(), []);
}

#[actix::test]
async fn what_a_running_call_has_can_be_asked_for() {
    let rig = rig(Make::Glm);
    let running = reached(&rig, "think=0+tokens=50+pace=0+stall-after=20", true).await;
    let call = running.call;
    let partial = || async { mail::ask(&rig.provider, GetPartial { call }, SOON).await.unwrap() };
    let seen = partial().await.unwrap();
    assert!(!seen.is_empty());
    running.cancel.cancel();
    let kept = outcome(running).await.unwrap_err().partial.unwrap();
    assert!(kept.0.starts_with(&seen));
    tokio::task::yield_now().await;
    assert_eq!(partial().await, None);
}
