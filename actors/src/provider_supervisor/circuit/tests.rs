//! The order of the reasons, what each verdict does to whom, and what is told of it.

use super::*;
use crate::clock;
use crate::health::Status;
use crate::provider::messages::FailureClass;

const SECOND: Duration = Duration::from_secs(1);

/// A circuit with its time.
struct Rig {
    circuit: Circuit,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let now = clock::now();
        Self { circuit: Circuit::new(60 * SECOND, now), now }
    }

    fn ask(&mut self, model: &str) -> Result<Granted, Refusal> {
        self.circuit.ask(&model.into(), 1, self.now)
    }

    /// One call and its end.
    fn call(&mut self, model: &str, settled: Option<Settled>) {
        let granted = self.ask(model).expect("leave");
        self.circuit.settle(&granted.passes, settled, 0.5, self.now);
    }

    fn fail(&mut self, model: &str, class: FailureClass, times: usize) {
        for _ in 0..times {
            self.call(model, Some(Settled::Failed { class, retry_after: None }));
        }
    }

    fn reason(&mut self, model: &str) -> Reason {
        self.ask(model).expect_err("a refusal").reason
    }

    /// What has moved, in words.
    fn news(&mut self) -> Vec<String> {
        let news = self.circuit.news(self.now).into_iter();
        let words = news.map(|moved| {
            let who = moved.model.map_or("own".to_owned(), |model| model.to_string());
            format!("{who} {} {}", moved.to.as_str(), moved.why.unwrap_or("-"))
        });
        words.collect()
    }

    fn operate(&mut self, model: Option<&str>, order: Order) {
        self.circuit.operate(model.map(ModelId::from).as_ref(), order, self.now);
    }
}

#[test]
fn a_dead_model_leaves_its_siblings_alone() {
    let mut rig = Rig::new();
    rig.fail("a", FailureClass::Timeout, 5);
    assert_eq!(rig.reason("a"), Reason::Open(Scope::Model));
    rig.ask("b").expect("leave");
    assert_eq!(rig.news(), ["a open timeout"]);
    let (status, detail) = rig.circuit.health(rig.now);
    assert_eq!((status, detail.as_str()), (Status::Degraded, "left alone after failures: a (open, timeout)"));
    rig.now += 5 * SECOND;
    assert_eq!(rig.news(), ["a half_open timeout"]);
    for _ in 0..3 {
        rig.call("a", Some(Settled::Answered));
    }
    assert_eq!(rig.news(), ["a closed -"]);
    assert_eq!(rig.circuit.health(rig.now), (Status::Ok, String::new()));
    assert!(rig.circuit.is_at_rest());
}

#[test]
fn a_host_that_cannot_be_reached_is_found_out_once() {
    let mut rig = Rig::new();
    for model in ["a", "b", "c", "d", "e"] {
        rig.fail(model, FailureClass::Connect, 1);
    }
    assert_eq!(rig.reason("never asked"), Reason::Open(Scope::Provider));
    assert_eq!(rig.news(), ["own open connect"]);
    assert_eq!(rig.circuit.health(rig.now).0, Status::Down);
    // Its place is one for all models, and a failure that came over a connection shows that there is one.
    rig.now += 5 * SECOND;
    let probe = rig.ask("a").expect("leave");
    assert_eq!((probe.state, rig.reason("b")), (BreakerState::HalfOpen, Reason::Probing(Scope::Provider)));
    let failed = Settled::Failed { class: FailureClass::Server, retry_after: None };
    rig.circuit.settle(&probe.passes, Some(failed), 0.5, rig.now);
    for _ in 0..2 {
        assert_eq!(rig.circuit.own.position(), BreakerPosition::HalfOpen);
        rig.call("b", Some(Settled::Answered));
    }
    assert_eq!(rig.circuit.own.position(), BreakerPosition::Closed);
}

#[test]
fn what_is_the_callers_fault_counts_for_nothing() {
    let mut rig = Rig::new();
    for class in [FailureClass::Stale, FailureClass::Cancelled, FailureClass::TooLong, FailureClass::Rejected]
    {
        rig.fail("a", class, 50);
    }
    for _ in 0..50 {
        rig.call("a", None);
    }
    rig.fail("a", FailureClass::Timeout, 4);
    assert!(rig.news().is_empty());
}

#[test]
fn a_busy_model_is_gated_and_opens_nothing() {
    let mut rig = Rig::new();
    let wait = Some(20 * SECOND);
    rig.call("a", Some(Settled::Failed { class: FailureClass::Busy, retry_after: wait }));
    let refusal = rig.ask("a").expect_err("a refusal");
    assert_eq!((refusal.reason, refusal.wait), (Reason::TooFast, wait));
    rig.ask("b").expect("leave");
    rig.now += 20 * SECOND;
    for _ in 0..20 {
        rig.call("a", Some(Settled::Failed { class: FailureClass::Busy, retry_after: None }));
        rig.now += 60 * SECOND;
    }
    assert!(rig.news().is_empty());
    assert_eq!(rig.circuit.health(rig.now), (Status::Ok, String::new()));
}

#[test]
fn a_key_parks_the_provider_until_it_is_reset() {
    let mut rig = Rig::new();
    let early = rig.ask("b").expect("leave");
    rig.fail("a", FailureClass::Key, 1);
    rig.now += 1_000_000 * SECOND;
    assert_eq!(rig.reason("b"), Reason::Parked(ParkReason::Key));
    assert_eq!(rig.ask("b").expect_err("a refusal").wait, None);
    assert_eq!(rig.news(), ["own parked key"]);
    assert_eq!(rig.circuit.health(rig.now).0, Status::Down);
    rig.operate(None, Order::Reset);
    let late = Settled::Failed { class: FailureClass::Key, retry_after: None };
    rig.circuit.settle(&early.passes, Some(late), 0.5, rig.now);
    rig.call("b", Some(Settled::Answered));
    assert_eq!(rig.news(), ["own closed -"]);
}

#[test]
fn a_quota_parks_the_provider_until_it_is_whole() {
    let mut rig = Rig::new();
    let day = Some(86_400 * SECOND);
    rig.call("a", Some(Settled::Failed { class: FailureClass::Quota, retry_after: day }));
    let refusal = rig.ask("b").expect_err("a refusal");
    assert_eq!((refusal.reason, refusal.wait), (Reason::Parked(ParkReason::Quota), day));
    assert_eq!(rig.news(), ["own parked quota"]);
    rig.now += 86_400 * SECOND;
    rig.ask("b").expect("leave");
    assert_eq!(rig.news(), ["own closed -"]);
}

#[test]
fn retries_are_a_budget_and_first_attempts_are_not() {
    let mut rig = Rig::new();
    let retry = |rig: &mut Rig| rig.circuit.ask(&"a".into(), 2, rig.now);
    let granted = (0..30).filter(|_| retry(&mut rig).is_ok()).count();
    assert_eq!(granted, 10);
    let refusal = retry(&mut rig).expect_err("a refusal");
    assert_eq!((refusal.reason, refusal.wait), (Reason::NoRetries, Some(SECOND)));
    for _ in 0..10 {
        rig.ask("a").expect("leave");
    }
    assert_eq!((0..30).filter(|_| retry(&mut rig).is_ok()).count(), 2);
}

#[test]
fn a_refusal_takes_no_place() {
    let mut rig = Rig::new();
    while rig.circuit.ask(&"b".into(), 2, rig.now).is_ok() {}
    rig.fail("a", FailureClass::Server, 5);
    let busy = rig.ask("c").expect("leave");
    rig.fail("c", FailureClass::Server, 5);
    rig.now += 5 * SECOND;
    // The gate stands behind the breaker, and the budget behind both.
    let failed = Settled::Failed { class: FailureClass::Busy, retry_after: Some(60 * SECOND) };
    rig.circuit.settle(&busy.passes, Some(failed), 0.5, rig.now);
    assert_eq!(rig.reason("c"), Reason::TooFast);
    for _ in 0..10 {
        rig.circuit.budget.wait(rig.now);
    }
    while rig.circuit.ask(&"b".into(), 2, rig.now).is_ok() {}
    let refused = rig.circuit.ask(&"a".into(), 2, rig.now).expect_err("a refusal");
    assert_eq!(refused.reason, Reason::NoRetries);
    assert_eq!(rig.ask("a").expect("the place is free").state, BreakerState::HalfOpen);
    assert_eq!(rig.reason("a"), Reason::Probing(Scope::Model));
    rig.now += 60 * SECOND;
    assert_eq!(rig.ask("c").expect("the place is free").state, BreakerState::HalfOpen);
}

#[test]
fn the_operators_word_comes_first() {
    let mut rig = Rig::new();
    rig.fail("a", FailureClass::Key, 1);
    rig.circuit.connection().gave_up(rig.now);
    assert_eq!(rig.reason("a"), Reason::Parked(ParkReason::Key));
    rig.operate(Some("a"), Order::ForceOpen);
    assert_eq!(rig.reason("a"), Reason::ForcedOpen(Scope::Model));
    rig.operate(None, Order::ForceOpen);
    assert_eq!(rig.reason("a"), Reason::ForcedOpen(Scope::Provider));
    assert_eq!(rig.news(), ["own forced_open operator", "a forced_open operator"]);
    rig.operate(None, Order::Reset);
    assert!(rig.ask("a").expect("leave").start_anew, "the dead connection is forgiven too");
    rig.operate(Some("a"), Order::Disable);
    rig.fail("a", FailureClass::Server, 50);
    rig.ask("a").expect("leave");
}

#[test]
fn a_connection_that_is_gone_is_left_alone_and_then_started() {
    let mut rig = Rig::new();
    rig.circuit.connection().gave_up(rig.now);
    let refusal = rig.ask("a").expect_err("a refusal");
    assert_eq!((refusal.reason, refusal.wait), (Reason::ConnectionGone, Some(5 * SECOND)));
    assert_eq!(rig.news(), ["own open connection"]);
    rig.now += 5 * SECOND;
    assert!(rig.ask("a").expect("leave").start_anew);
    rig.circuit.connection().started_anew(rig.now);
    assert_eq!(rig.news(), ["own closed -"]);
}

#[test]
fn the_first_free_model_is_closed_and_not_gated() {
    let mut rig = Rig::new();
    rig.fail("half", FailureClass::Server, 5);
    rig.now += 5 * SECOND;
    rig.fail("open", FailureClass::Server, 5);
    rig.fail("busy", FailureClass::Busy, 1);
    for (model, free) in [("half", false), ("open", false), ("busy", false), ("new", true)] {
        assert_eq!(rig.circuit.is_free(&model.into(), rig.now), free, "{model}");
    }
    assert_eq!(rig.ask("half").expect("asking took nothing").state, BreakerState::HalfOpen);
}

#[test]
fn models_are_bounded() {
    let mut rig = Rig::new();
    for n in 0..MODELS_MAX + 10 {
        rig.fail(&format!("m{n}"), FailureClass::Server, 1);
    }
    assert_eq!(rig.circuit.models.len(), MODELS_MAX);
    rig.fail("beyond", FailureClass::Server, 50);
    rig.operate(Some("beyond"), Order::ForceOpen);
    rig.ask("beyond").expect("leave");
}

#[test]
fn whatever_happens_a_quiet_hour_frees_every_place() {
    let ends = [None, Some(Settled::Answered), Some(Settled::Lost)].into_iter();
    let classes = [FailureClass::Connect, FailureClass::Timeout, FailureClass::Busy, FailureClass::Stale];
    let failed = classes.map(|class| Some(Settled::Failed { class, retry_after: Some(10 * SECOND) }));
    let ends = ends.chain(failed).collect::<Vec<_>>();
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rig = Rig::new();
        let mut out = vec![];
        for _ in 0..500 {
            rig.now += Duration::from_millis(random.u64(0..2_000));
            let model = ["a", "b", "c"][random.usize(0..3)];
            match rig.circuit.ask(&model.into(), random.u32(1..3), rig.now) {
                // Some tickets are never seen again.
                Ok(granted) if random.u32(0..10) > 0 => out.push(granted.passes),
                Ok(_) | Err(_) => {}
            }
            if !out.is_empty() && random.bool() {
                let passes = out.swap_remove(random.usize(0..out.len()));
                rig.circuit.answering(&passes, rig.now);
                rig.circuit.settle(&passes, ends[random.usize(0..ends.len())], random.f64(), rig.now);
            }
            rig.circuit.news(rig.now);
        }
        rig.now += 3_600 * SECOND;
        for model in ["a", "b", "c"] {
            let granted = rig.ask(model).unwrap_or_else(|refusal| panic!("seed {seed}: {refusal:?}"));
            rig.circuit.settle(&granted.passes, None, 0.0, rig.now);
        }
    }
}

#[test]
fn a_look_takes_nothing_and_buys_no_retry() {
    let (now, model) = (clock::now(), ModelId::from("m"));
    let mut circuit = Circuit::new(Duration::from_secs(40), now);
    while circuit.ask(&model, 2, now).is_ok() {}
    for _ in 0..5 {
        assert!(circuit.may_go(&model, now).is_ok());
        assert!(circuit.ask(&model, 1, now).is_ok());
    }
    assert!(circuit.ask(&model, 2, now).is_ok() && circuit.ask(&model, 2, now).is_err());
}
