//! Hand-made journals: one in order, and one for each way in which a promise can be broken.

use std::time::Duration;

use exai_upstream::{Ended, Entry, Make};

use super::{Evidence, Rule, UpstreamCounts, counted, judge};
use crate::book::{Answer, Ask, Expect, Kind};
use crate::database::{AttemptRow, CallRow};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn text(call: &str) -> Answer {
    Answer::Text { text: "You asked: k1".to_owned(), call: Some(call.to_owned()) }
}

fn failed(kind: &str) -> Answer {
    Answer::Failed { kind: kind.to_owned(), call: Some("c1".to_owned()), retry_after: None }
}

fn ask(answers: Vec<Answer>) -> Ask {
    Ask {
        tag: "k1".to_owned(),
        keyed: true,
        model: "kimi",
        kind: Kind::Chat,
        expect: Expect::Any,
        connection: 1,
        sent: ms(0),
        cancelled: None,
        lost: false,
        answers: answers.into_iter().map(|answer| (ms(100), answer)).collect(),
    }
}

fn entry(n: u64, at_ms: u64) -> Entry {
    let line = format!(
        r#"{{"n":{n},"make":"kimi","at_ms":{at_ms},"connection":1,"method":"POST","path":"/v1/chat/completions","host":"h",
        "key_fingerprint":"","model":"m","stream":true,"script":"tokens=30","request_bytes":1,"body_hash":"","messages":1,
        "last_user":"k1 why?","prompt_tokens":1,"completion_tokens":1,"user_agent":"","header_names":[],"status":200,
        "sent_bytes":1,"ended":"complete","ended_at_ms":{}}}"#,
        at_ms + 10
    );
    serde_json::from_str(&line).unwrap()
}

fn row(state: &str) -> CallRow {
    let result = (state == "completed").then(|| "You asked: k1".to_owned());
    CallRow { id: "c1".to_owned(), key: Some("k1".to_owned()), state: state.to_owned(), result }
}

fn attempt(n: i32, state: &str) -> AttemptRow {
    let status = (state == "completed").then_some(200);
    AttemptRow { call: "c1".to_owned(), n, state: state.to_owned(), status }
}

/// One question, asked once, sent once, answered once.
fn in_order() -> Evidence {
    Evidence {
        asks: vec![ask(vec![text("c1")])],
        entries: vec![entry(1, 10)],
        calls: vec![row("completed")],
        attempts: vec![attempt(1, "completed")],
        ..Evidence::default()
    }
}

/// The rules that are broken once this was done to journals in order.
fn broken(change: impl FnOnce(&mut Evidence)) -> Vec<Rule> {
    let mut evidence = in_order();
    change(&mut evidence);
    evidence.name_calls();
    let mut rules = judge(&evidence).into_iter().map(|violation| violation.rule).collect::<Vec<_>>();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn what_is_in_order_is_found_in_order() {
    assert_eq!(broken(|_| {}), []);
    assert_eq!(entry(1, 10).make, Make::Kimi);
}

#[test]
fn a_request_has_exactly_one_answer() {
    assert_eq!(broken(|e| e.asks[0].answers.clear()), [Rule::OneAnswer]);
    assert_eq!(broken(|e| e.asks[0] = ask(vec![text("c1"), text("c1")])), [Rule::OneAnswer]);
    assert_eq!(broken(|e| e.oddities.push("an answer to nothing".to_owned())), [Rule::OneAnswer]);
    assert_eq!(broken(|e| e.asks.push(Ask { lost: true, ..ask(vec![]) })), []);
    assert_eq!(broken(|e| e.asks.push(Ask { cancelled: Some(ms(1)), ..ask(vec![]) })), []);
    let late = |e: &mut Evidence| {
        e.asks[0].cancelled = Some(ms(1));
        e.asks[0].answers[0].0 = ms(5_000);
    };
    assert_eq!(broken(late), [Rule::OneAnswer]);
}

#[test]
fn a_key_is_sent_once() {
    let twice = |e: &mut Evidence| {
        e.entries.push(entry(2, 500));
        e.attempts.push(attempt(2, "completed"));
    };
    assert_eq!(broken(twice), [Rule::OneRequest]);
    let after_its_answer = |e: &mut Evidence| {
        twice(e);
        e.entries[1].ended = Ended::ClientClosed;
        e.attempts[1] = attempt(2, "cancelled");
    };
    assert_eq!(broken(after_its_answer), [Rule::OneRequest]);
    let retried = |e: &mut Evidence| {
        e.entries.insert(0, Entry { status: 503, script: "refuse=503".to_owned(), ..entry(1, 1) });
        e.attempts = vec![AttemptRow { status: Some(503), ..attempt(1, "failed") }, attempt(2, "completed")];
    };
    assert_eq!(broken(retried), []);
    let with_leave = |e: &mut Evidence| {
        twice(e);
        e.asks.push(Ask { kind: Kind::RetryUnknown, ..ask(vec![text("c1")]) });
    };
    assert_eq!(broken(with_leave), []);
}

#[test]
fn what_is_unknown_is_not_sent_unasked() {
    let known = |e: &mut Evidence| {
        e.asks[0] = Ask { lost: true, ..ask(vec![]) };
        e.calls = vec![row("unknown")];
        e.attempts = vec![attempt(1, "unknown")];
        e.unknown.insert("k1".to_owned(), 1);
    };
    let refused = |e: &mut Evidence| {
        known(e);
        e.asks.push(Ask { expect: Expect::Conflict, ..ask(vec![failed("conflict")]) });
    };
    assert_eq!(broken(refused), []);
    let sent = |e: &mut Evidence| {
        refused(e);
        e.entries[0].ended = Ended::ClientClosed;
        e.entries.push(entry(2, 900));
        e.attempts.push(attempt(2, "cancelled"));
    };
    assert_eq!(broken(sent), [Rule::OneRequest]);
    let not_refused = |e: &mut Evidence| {
        known(e);
        e.asks.push(Ask { expect: Expect::Conflict, ..ask(vec![failed("upstream_error")]) });
    };
    assert_eq!(broken(not_refused), [Rule::Recovered]);
    let refused_for_ever = |e: &mut Evidence| {
        known(e);
        let again = Ask { kind: Kind::RetryUnknown, expect: Expect::Text, ..ask(vec![failed("conflict")]) };
        e.asks.push(again);
    };
    assert_eq!(broken(refused_for_ever), [Rule::Recovered]);
}

#[test]
fn the_double_and_the_journal_agree() {
    assert_eq!(broken(|e| e.attempts.clear()), [Rule::Journalled]);
    assert_eq!(broken(|e| e.entries.clear()), [Rule::Journalled]);
    assert_eq!(broken(|e| e.attempts.push(attempt(2, "cancelled"))), []);
    assert_eq!(broken(|e| e.attempts.push(attempt(3, "cancelled"))), [Rule::Journalled]);
    assert_eq!(broken(|e| e.entries[0].script = "cut-after=3".to_owned()), [Rule::Journalled]);
    let never_journalled = |e: &mut Evidence| {
        e.asks[0].lost = true;
        e.asks[0].answers.clear();
        e.calls.clear();
        e.attempts.clear();
    };
    assert_eq!(broken(never_journalled), [Rule::Journalled]);
    let without_a_key = |e: &mut Evidence| {
        never_journalled(e);
        e.asks[0].keyed = false;
    };
    assert_eq!(broken(without_a_key), [Rule::Journalled]);
    let nobody_heard = |e: &mut Evidence| {
        without_a_key(e);
        e.attempts.push(attempt(1, "unknown"));
    };
    assert_eq!(broken(nobody_heard), []);
}

#[test]
fn an_answer_stands_as_it_was_given() {
    assert_eq!(broken(|e| e.calls[0].result = Some("k1, but other words".to_owned())), [Rule::Durable]);
    assert_eq!(broken(|e| e.calls[0].state = "unknown".to_owned()), [Rule::Durable]);
    assert_eq!(broken(|e| e.torn.push("c1".to_owned())), [Rule::Durable]);
    assert_eq!(broken(|e| e.asks[0].tag = "k2".to_owned()), [Rule::Durable]);
    let gone = |e: &mut Evidence| {
        let fetch = Kind::Result("c1".to_owned());
        e.asks.push(Ask { kind: fetch, ..ask(vec![failed("upstream_error")]) });
    };
    assert_eq!(broken(gone), [Rule::Durable]);
    let never_stood = |e: &mut Evidence| {
        e.asks[0] = ask(vec![failed("upstream_error")]);
        e.calls.clear();
        e.entries.clear();
        e.attempts.clear();
    };
    assert_eq!(broken(never_stood), [Rule::Durable]);
}

#[test]
fn nothing_stays_open() {
    let call = |e: &mut Evidence| {
        e.asks[0] = Ask { lost: true, ..ask(vec![]) };
        e.calls = vec![row("dispatched")];
        e.attempts = vec![attempt(1, "unknown")];
    };
    assert_eq!(broken(call), [Rule::Recovered]);
    let of_it = |e: &mut Evidence| {
        call(e);
        e.calls = vec![row("unknown")];
        e.attempts = vec![attempt(1, "dispatched")];
    };
    assert_eq!(broken(of_it), [Rule::Recovered]);
}

#[test]
fn refusals_fit_what_happened() {
    let with = |kind: &'static str| move |e: &mut Evidence| e.asks.push(ask(vec![failed(kind)]));
    for kind in
        ["upstream_error", "over_capacity", "breaker_open", "deadline_exceeded", "storage_unavailable"]
    {
        assert_eq!(broken(with(kind)), [], "{kind}");
    }
    for kind in ["internal", "conflict", "not_found", "unknown_model", "no kind, code -32603"] {
        assert_eq!(broken(with(kind)), [Rule::Typed], "{kind}");
    }
    let planted = |e: &mut Evidence| {
        with("internal")(e);
        e.panics.push(ms(50));
    };
    assert_eq!(broken(planted), []);
    let too_many = |e: &mut Evidence| {
        planted(e);
        e.asks.extend(vec![ask(vec![failed("internal")]); 9]);
    };
    assert_eq!(broken(too_many), [Rule::Typed]);
    let before_the_panic = |e: &mut Evidence| {
        with("internal")(e);
        e.panics.push(ms(150));
    };
    assert_eq!(broken(before_the_panic), [Rule::Typed]);
}

#[test]
fn what_was_counted_is_what_the_doubles_received() {
    let counts = |completed: usize, refused: usize, cancelled: usize| {
        let line = |status: &str, n: usize| {
            format!("exai_upstream_requests_total{{provider=\"kimi\",model=\"m\",status=\"{status}\"}} {n}\n")
        };
        let other = "exai_upstream_requests_total{provider=\"glm\",model=\"m\",status=\"completed\"} 9\n";
        let text =
            [&line("completed", completed), &line("503", refused), &line("cancelled", cancelled), other];
        let mut refusal = entry(2, 50);
        refusal.status = 503;
        let mut found = Vec::new();
        let counts = UpstreamCounts::of(&text.map(ToString::to_string).concat(), "kimi");
        counted("kimi", &counts, [entry(1, 0), refusal].iter(), &mut found);
        found.len()
    };
    assert_eq!(
        (counts(1, 1, 0), counts(1, 1, 3)),
        (0, 0),
        "a request that was cancelled may never have left"
    );
    assert_eq!(counts(1, 0, 0), 1, "received and not counted");
    assert_eq!(counts(0, 2, 0), 1, "another end than the double gave");
    assert!(counts(2, 1, 0) > 1, "counted and not received");
}
