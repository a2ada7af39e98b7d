//! Answers of all makes, as they should be.

use exai_actors::clock;
use exai_actors::provider::messages::{Finish, UpstreamPhase};
use exai_upstream::{Make, key_fingerprint};

use crate::support::{Rig, model_of, rig};

#[actix::test]
async fn every_make_thinks_and_answers() {
    for make in Make::ALL {
        let rig = rig(make);
        let answer = rig.ask("think=2+tokens=5+pace=1").await.unwrap();
        assert_eq!(answer.text.split_whitespace().count(), 5, "{make}: {}", answer.text);
        assert_eq!(answer.finish, Finish::Stop);
        let usage = answer.usage.unwrap();
        let entry = rig.upstream.journal().remove(0);
        assert_eq!(u64::from(usage.prompt), entry.prompt_tokens, "{make}");
        assert_eq!(u64::from(usage.completion), entry.completion_tokens, "{make}");
        assert_eq!(answer.served.model, entry.model);
        assert!(entry.model.starts_with(model_of(make)));
        assert_eq!(answer.served.host, entry.host);
        assert_eq!(answer.served.key_fingerprint, key_fingerprint(&format!("sk-{make}")));
        assert_eq!(answer.served.key_fingerprint, entry.key_fingerprint);
        assert!(entry.stream);
        assert_eq!(entry.user_agent, concat!("exai/", env!("CARGO_PKG_VERSION")));
    }
}

#[actix::test]
async fn the_wire_may_be_shaped_in_any_way() {
    let shapes = [
        "crlf",
        "no-space",
        "comments",
        "split=1",
        "split=7+crlf",
        "bare",
        "usage=both",
        "usage=none",
        "no-done",
    ];
    for make in Make::ALL {
        let rig = rig(make);
        let plain = rig.ask("tokens=6+pace=0").await.unwrap().text;
        for shape in shapes {
            let answer = rig.ask(&format!("tokens=6+pace=0+{shape}")).await.unwrap();
            assert_eq!(answer.text, plain, "{make} {shape}");
            assert_eq!(answer.usage.is_none(), shape == "usage=none", "{make} {shape}");
        }
    }
}

#[actix::test]
async fn an_answer_names_the_model_that_gave_it() {
    let rig = rig(Make::OpenAi);
    let answer = rig.ask("model=another-model+finish=odd_word").await.unwrap();
    assert_eq!(answer.served.model, "another-model");
    assert_eq!(answer.finish, Finish::Other("odd_word".to_owned()));
    assert_eq!(rig.ask("finish=length").await.unwrap().finish, Finish::Length);
}

#[actix::test]
async fn progress_tells_each_phase() {
    let rig = rig(Make::Kimi);
    let mut running = rig.begin("think=5+tokens=60+pace=20");
    let mut phases = vec![];
    while running.progress.changed().await.is_ok() {
        phases.push(running.progress.borrow_and_update().phase);
    }
    assert_eq!(phases.first(), Some(&UpstreamPhase::Thinking));
    assert_eq!(phases.get(1), Some(&UpstreamPhase::Answering));
    assert!(phases.len() <= 5, "more than once a second: {phases:?}");
    running.outcome.await.unwrap().unwrap();
}

#[actix::test]
async fn a_connection_serves_call_after_call() {
    for make in Make::ALL {
        let rig = rig(make);
        for _ in 0..5 {
            rig.ask("tokens=3+pace=0").await.unwrap();
        }
        rig.ask("refuse=429").await.unwrap_err();
        rig.ask("tokens=3+pace=0").await.unwrap();
        let connections = connections(&rig);
        assert_eq!(connections, vec![1; 7], "{make}");
    }
}

fn connections(rig: &Rig) -> Vec<u64> {
    rig.upstream.journal().iter().map(|entry| entry.connection).collect()
}

#[actix::test]
async fn fifty_calls_do_not_wait_for_one_another() {
    let rig = rig(Make::Glm);
    let running = (0..50).map(|_| rig.begin("slow-headers=300+tokens=10+pace=10")).collect::<Vec<_>>();
    let asked = clock::now();
    for running in running {
        crate::support::outcome(running).await.unwrap();
    }
    assert!(asked.elapsed().as_millis() < 3_000);
    assert_eq!(rig.upstream.journal().len(), 50);
}
