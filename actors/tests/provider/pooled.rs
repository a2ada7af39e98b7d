//! Connections that were kept for the next call, and what it means when they are dead.

use std::time::Duration;

use exai_actors::provider::messages::FailureClass::{Reset, Stale, Timeout};
use exai_upstream::Make;

use crate::broken::impatient;
use crate::support::{Rig, outcome, rig};

#[actix::test]
async fn a_kept_connection_that_dies_under_a_request_is_stale() {
    for make in Make::ALL {
        let rig = rig(make);
        for script in ["hang-up", "reset"] {
            rig.ask("tokens=2+pace=0").await.unwrap();
            until_pooled(&rig).await;
            let failure = rig.ask(script).await.unwrap_err();
            assert_eq!((failure.class, failure.status), (Stale, None), "{make} {script}");
        }
        let connections = rig.upstream.journal().iter().map(|entry| entry.connection).collect::<Vec<_>>();
        assert_eq!(connections, [1, 1, 2, 2], "{make}");
        rig.ask("tokens=2").await.unwrap();
    }
}

#[actix::test]
async fn a_kept_connection_that_dies_late_may_have_been_at_work() {
    let rig = rig(Make::Kimi);
    rig.ask("tokens=2+pace=0").await.unwrap();
    until_pooled(&rig).await;
    assert_eq!(rig.ask("slow-headers=2100+hang-up").await.unwrap_err().class, Reset);
    assert_eq!(rig.upstream.journal().pop().unwrap().connection, 1);
}

#[actix::test]
async fn a_kept_connection_that_was_closed_in_time_is_not_used() {
    let rig = rig(Make::Glm);
    for connection in 1..=3 {
        rig.ask("tokens=2+pace=0+leave").await.unwrap();
        until_pooled(&rig).await;
        assert_eq!(rig.upstream.journal().pop().unwrap().connection, connection);
    }
}

#[actix::test]
async fn what_was_kept_beside_a_stale_connection_is_not_used() {
    for make in Make::ALL {
        let rig = rig(make);
        let kept = (0..3).map(|_| rig.begin("delay=100+tokens=2+pace=0+corpse")).collect::<Vec<_>>();
        for running in kept {
            outcome(running).await.unwrap();
        }
        until_pooled(&rig).await;
        let crowd = (0..2).map(|_| rig.begin("tokens=2")).collect::<Vec<_>>();
        for running in crowd {
            assert_eq!(outcome(running).await.unwrap_err().class, Stale, "{make}");
        }
        rig.ask("tokens=2").await.unwrap();
        assert_eq!(rig.upstream.journal().pop().unwrap().connection, 4, "{make}");
    }
}

#[actix::test]
async fn what_was_kept_beside_a_silent_connection_is_not_used() {
    let rig = impatient(Make::Glm);
    for running in [rig.begin("delay=100+tokens=2+pace=0"), rig.begin("delay=100+tokens=2+pace=0")] {
        outcome(running).await.unwrap();
    }
    until_pooled(&rig).await;
    assert_eq!(rig.ask("slow-headers=5000").await.unwrap_err().class, Timeout);
    rig.ask("tokens=2").await.unwrap();
    assert_eq!(rig.upstream.journal().pop().unwrap().connection, 3);
}

/// The answer is told before the rest of its body is read; only then does its connection go back to the pool.
async fn until_pooled(rig: &Rig) {
    while !rig.tasks.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // The far side may close it now, and be heard of.
    tokio::time::sleep(Duration::from_millis(50)).await;
}
