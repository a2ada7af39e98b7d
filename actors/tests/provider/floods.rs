//! Upstreams that never let up: what they send is bounded, and costs their neighbours nothing.

use std::time::Duration;

use exai_actors::clock;
use exai_actors::error::ErrorKind;
use exai_actors::provider::Timeouts;
use exai_actors::provider::messages::FailureClass::{Flood, Timeout};
use exai_upstream::{Ended, Make};
use tokio::sync::oneshot::error::TryRecvError;

use crate::support::{Rig, Running, begin, outcome, prompt, rig, rig_with};

/// A call that may have so many tokens.
fn begin_with(rig: &Rig, script: &str, output_tokens_max: u32) -> Running {
    let mut asked = prompt(&rig.name, &format!("double-1+think=0+tokens=8+{script}"));
    asked.output_tokens_max = output_tokens_max;
    begin(&rig.provider, asked)
}

#[actix::test]
async fn a_flood_of_nothing_is_ended() {
    let rig = rig(Make::OpenAi);
    for (script, begun) in [
        ("comments-after=0+pace=0", false),
        ("comments-after=4+pace=0", true),
        ("empties-after=1+pace=0", false),
        ("empties-after=4+pace=0+crlf", true),
    ] {
        let failure = outcome(begin_with(&rig, script, 100)).await.unwrap_err();
        assert_eq!((failure.class, failure.status), (Flood, Some(200)), "{script}");
        assert_eq!(failure.partial.is_some(), begun, "{script}");
        let error = failure.to_call_error(&rig.name, &"double-1".into());
        assert_eq!((error.kind, &error.detail["class"]), (ErrorKind::UpstreamError, &"flood".into()));
    }
    assert!(rig.upstream.wait_for(Duration::from_secs(2), |entries| {
        entries.iter().all(|entry| entry.ended == Ended::ClientClosed)
    }));
}

#[actix::test]
async fn a_flood_behind_a_finished_answer_costs_no_answer() {
    let rig = rig(Make::OpenAi);
    let whole = rig.ask("think=0+tokens=2+pace=0+usage=none").await.unwrap();
    // Role, two words and the finish reason.
    let flooded = rig.ask("think=0+tokens=2+pace=0+usage=none+comments-after=4").await.unwrap();
    assert_eq!((flooded.text, flooded.finish), (whole.text, whole.finish));
}

#[actix::test]
async fn a_stream_that_lives_and_says_nothing_is_given_up() {
    let timeouts = Timeouts { first_byte: Duration::from_secs(20), idle: Duration::from_millis(300) };
    for script in ["comments-after=4+pace=40", "empties-after=4+pace=40"] {
        let rig = rig_with(Make::OpenAi, "openai".to_owned(), timeouts);
        let asked = clock::now();
        let failure = outcome(begin_with(&rig, script, 100)).await.unwrap_err();
        assert_eq!(failure.class, Timeout, "{script}");
        let took = asked.elapsed();
        assert!(took >= timeouts.idle * 4 && took < timeouts.first_byte / 2, "{script}: {took:?}");
    }
}

#[actix::test]
async fn a_flood_does_not_hold_its_neighbours_up() {
    let (flooding, neighbour) = (rig(Make::OpenAi), rig(Make::Kimi));
    let mut floods = Vec::new();
    for script in ["comments-after=4+pace=0", "empties-after=4+pace=0"] {
        let mut running = begin_with(&flooding, script, 131_072);
        running.progress.changed().await.unwrap();
        floods.push(running);
    }
    let asked = clock::now();
    for _ in 0..10 {
        neighbour.ask("tokens=3+pace=0").await.unwrap();
    }
    let took = asked.elapsed();
    for running in &mut floods {
        assert_eq!(running.outcome.try_recv().err(), Some(TryRecvError::Empty), "the flood is over");
        running.cancel.cancel();
    }
    assert!(took < Duration::from_secs(4), "{took:?}");
    for running in floods {
        outcome(running).await.unwrap_err();
    }
}
