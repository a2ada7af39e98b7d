//! A provider's key and requests go to that provider's host alone.

use std::collections::HashSet;
use std::time::Duration;

use exai_actors::provider::Timeouts;
use exai_actors::provider::messages::FailureClass;
use exai_upstream::{Make, Script, key_fingerprint};
use futures_util::stream::{self, StreamExt};

use crate::support::{Rig, begin, model_of, outcome, prompt, rig_with};

/// Calls of the storm.
const CALLS: usize = 10_000;
/// Calls that are under way at once.
const AT_ONCE: usize = 32;

fn fleet() -> Vec<Rig> {
    let silence = Duration::from_secs(20);
    let makes = [Make::Kimi, Make::Kimi, Make::Glm, Make::Glm, Make::OpenAi];
    let rigs = makes.iter().enumerate().map(|(n, make)| {
        let rig = rig_with(*make, format!("provider{n}"), Timeouts { first_byte: silence, idle: silence });
        rig.upstream.set_default(Script::of("tokens=1+think=0+pace=0"));
        rig
    });
    rigs.collect()
}

#[actix::test]
async fn ten_thousand_interleaved_calls_each_go_home() {
    let fleet = fleet();
    let fleet = &fleet;
    // Neighbours in time belong to different providers, and each pair of providers meets.
    let served = stream::iter(0..CALLS)
        .map(|n| async move {
            let at = (n * 7 + n / 5) % fleet.len();
            let rig = &fleet[at];
            let answer = outcome(begin(&rig.provider, prompt(&rig.name, model_of(rig.upstream.make()))))
                .await
                .unwrap();
            assert_eq!(answer.served.host, rig.upstream.addr().to_string());
            assert_eq!(answer.served.key_fingerprint, key_fingerprint(&format!("sk-{}", rig.name)));
            at
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    assert_eq!(served.iter().collect::<HashSet<_>>().len(), fleet.len());
    for (at, rig) in fleet.iter().enumerate() {
        let journal = rig.upstream.journal();
        assert_eq!(journal.len(), served.iter().filter(|home| **home == at).count());
        for entry in journal {
            assert_eq!(entry.host, rig.upstream.addr().to_string());
            assert_eq!(entry.key_fingerprint, key_fingerprint(&format!("sk-{}", rig.name)));
            assert_eq!(entry.model, model_of(rig.upstream.make()));
        }
    }
}

#[actix::test]
async fn a_model_of_another_provider_is_stopped_before_a_byte_leaves() {
    let fleet = fleet();
    for wrong in &fleet {
        for right in fleet.iter().filter(|right| right.name != wrong.name) {
            let misled = prompt(&right.name, model_of(right.upstream.make()));
            let failure = outcome(begin(&wrong.provider, misled)).await.unwrap_err();
            assert_eq!(failure.class, FailureClass::Misrouted);
            let error = failure.to_call_error(&wrong.name, &"m".into());
            assert_eq!(error.kind, exai_actors::error::ErrorKind::Internal);
        }
    }
    assert!(fleet.iter().all(|rig| rig.upstream.journal().is_empty()));
}
