//! Admission against its rules in their most naive form.

use proptest::prelude::*;

use super::*;

/// The rules in the most naive form: a list of who runs and a list of who waits.
struct Naive {
    limits: Limits,
    running: Vec<Scopes>,
    waiting: Vec<(usize, Scopes)>,
}

impl Naive {
    fn has_room(&self, new: &Scopes) -> bool {
        let count = |same: &dyn Fn(&Scopes) -> bool| self.running.iter().filter(|one| same(one)).count();
        self.running.len() < self.limits.global
            && count(&|one| one.session == new.session) < self.limits.per_session
            && count(&|one| one.conversation == new.conversation) < self.limits.per_conversation
            && count(&|one| one.provider == new.provider) < self.limits.per_provider[&new.provider]
    }

    fn let_go(&mut self) -> Vec<usize> {
        let mut admitted = Vec::new();
        while let Some(at) = self.waiting.iter().position(|(_, waiter)| self.has_room(waiter)) {
            let (number, waiter) = self.waiting.remove(at);
            self.running.push(waiter);
            admitted.push(number);
        }
        admitted
    }
}

#[derive(Debug, Clone)]
enum Step {
    Request { session: usize, conversation: usize, provider: usize },
    Release(usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3usize, 0..6usize, 0..2usize)
            .prop_map(|(session, conversation, provider)| Step::Request { session, conversation, provider }),
        2 => (0..64usize).prop_map(Step::Release),
        1 => (0..64usize).prop_map(Step::Leave),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_naive_rules(steps in prop::collection::vec(step(), 1..200)) {
        let sessions: Vec<SessionId> = (0..3).map(|_| SessionId::mint()).collect();
        let conversations: Vec<ConversationId> = (0..6).map(|_| ConversationId::mint()).collect();
        let providers = [ProviderName::from("kimi"), ProviderName::from("glm")];
        let per_provider = providers.iter().cloned().zip([2, 3]).collect();
        let limits = Limits { global: 4, per_session: 2, per_conversation: 1, per_provider };
        let mut admission = Admission::new(limits.clone());
        let mut naive = Naive { limits, running: Vec::new(), waiting: Vec::new() };
        let mut places = Vec::new();
        for step in steps {
            match step {
                Step::Request { session, conversation, provider } => {
                    let scopes = Scopes {
                        session: sessions[session],
                        conversation: conversations[conversation],
                        provider: providers[provider].clone(),
                    };
                    let goes = naive.has_room(&scopes);
                    match admission.request(&scopes) {
                        Decision::Go => {
                            prop_assert!(goes);
                            naive.running.push(scopes);
                        }
                        Decision::Wait(place) => {
                            prop_assert!(!goes);
                            naive.waiting.push((places.len(), scopes));
                            places.push(place);
                        }
                        Decision::Full => prop_assert!(false, "nothing here reaches the bound"),
                    }
                }
                Step::Release(at) if !naive.running.is_empty() => {
                    let gone = naive.running.remove(at % naive.running.len());
                    let admitted: Vec<Place> =
                        admission.release(&gone).into_iter().map(|(place, _)| place).collect();
                    let expected: Vec<Place> = naive.let_go().into_iter().map(|number| places[number]).collect();
                    prop_assert_eq!(admitted, expected);
                }
                Step::Leave(at) if !naive.waiting.is_empty() => {
                    let (number, _) = naive.waiting.remove(at % naive.waiting.len());
                    admission.leave(places[number]);
                }
                Step::Release(_) | Step::Leave(_) => {}
            }
            prop_assert_eq!(admission.running(), naive.running.len());
            prop_assert_eq!(admission.waiting(), naive.waiting.len());
        }
        while let Some(gone) = naive.running.pop() {
            admission.release(&gone);
            naive.let_go();
        }
        prop_assert_eq!(admission.running(), 0);
        prop_assert_eq!(admission.waiting(), 0);
        prop_assert!(admission.gauges().iter().all(|gauge| gauge.in_use == 0));
    }
}

#[test]
fn more_than_the_bound_may_not_wait() {
    let provider = ProviderName::from("kimi");
    let per_provider = [(provider.clone(), 1)].into();
    let limits = Limits { global: 1, per_session: 1, per_conversation: 1, per_provider };
    let mut admission = Admission::new(limits);
    let scopes = || Scopes {
        session: SessionId::mint(),
        conversation: ConversationId::mint(),
        provider: provider.clone(),
    };
    assert_eq!(admission.request(&scopes()), Decision::Go);
    for _ in 0..WAITING_MAX {
        assert!(matches!(admission.request(&scopes()), Decision::Wait(_)));
    }
    assert_eq!(admission.request(&scopes()), Decision::Full);
}

#[test]
fn a_full_queue_is_nobody_elses() {
    let (hung, well) = (ProviderName::from("kimi"), ProviderName::from("glm"));
    let per_provider = [(hung.clone(), 1), (well.clone(), 1)].into();
    let mut admission =
        Admission::new(Limits { global: 8, per_session: 8, per_conversation: 1, per_provider });
    let scopes = |provider: &ProviderName| Scopes {
        session: SessionId::mint(),
        conversation: ConversationId::mint(),
        provider: provider.clone(),
    };
    while admission.request(&scopes(&hung)) != Decision::Full {}
    let mine = scopes(&well);
    assert_eq!(admission.request(&mine), Decision::Go);
    let Decision::Wait(place) = admission.request(&scopes(&well)) else {
        panic!("it has a queue of its own")
    };
    assert_eq!(admission.release(&mine).first().map(|(first, _)| *first), Some(place));
}
