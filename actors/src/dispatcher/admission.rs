//! Who may go and who waits: every limit on running calls, decided at once. Pure: it is told who asks and who is done, and says
//! who goes. It knows neither time nor tasks, and a waiter holds nothing.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::messages::PermitGauge;
use crate::ids::{ConversationId, ProviderName, SessionId};

/// How many calls to one provider may wait for permits; one more is refused at once, and no other provider's call with it.
pub const WAITING_MAX: usize = 256;

/// How many calls may run, by scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// In the whole process.
    pub global: usize,
    /// For one client connection.
    pub per_session: usize,
    /// In one conversation.
    pub per_conversation: usize,
    /// At each provider.
    pub per_provider: BTreeMap<ProviderName, usize>,
}

/// The scopes in which one call takes a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes {
    /// The client connection.
    pub session: SessionId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The provider.
    pub provider: ProviderName,
}

/// A place in the queue; later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

/// What becomes of a request for permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It has its permits and goes.
    Go,
    /// It waits, and holds nothing.
    Wait(Place),
    /// Too many wait already.
    Full,
}

/// Every limit and everyone who waits.
///
/// Whoever waits is blocked by a full scope: each release lets go, in order of arrival, all that have room. So a newcomer with
/// room overtakes nobody who could go, and one session's queue never blocks another's.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    running: usize,
    sessions: HashMap<SessionId, usize>,
    conversations: HashMap<ConversationId, usize>,
    providers: HashMap<ProviderName, usize>,
    waiting: BTreeMap<Place, Scopes>,
    /// How many of those wait at each provider.
    queued: HashMap<ProviderName, usize>,
    next_place: u64,
}

impl Admission {
    /// Nobody runs, nobody waits.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            running: 0,
            sessions: HashMap::new(),
            conversations: HashMap::new(),
            providers: HashMap::new(),
            waiting: BTreeMap::new(),
            queued: HashMap::new(),
            next_place: 0,
        }
    }

    /// Asks for permits in all scopes at once.
    pub fn request(&mut self, scopes: &Scopes) -> Decision {
        if self.has_room(scopes) {
            self.take(scopes);
            return Decision::Go;
        }
        if taken(&self.queued, &scopes.provider) >= WAITING_MAX {
            return Decision::Full;
        }
        *self.queued.entry(scopes.provider.clone()).or_default() += 1;
        let place = Place(self.next_place);
        self.next_place += 1;
        self.waiting.insert(place, scopes.clone());
        Decision::Wait(place)
    }

    /// Gives permits back, and says who goes instead; those hold theirs from now on.
    pub fn release(&mut self, scopes: &Scopes) -> Vec<(Place, Scopes)> {
        self.running = self.running.checked_sub(1).expect("a permit is given back once");
        give_back(&mut self.sessions, &scopes.session);
        give_back(&mut self.conversations, &scopes.conversation);
        give_back(&mut self.providers, &scopes.provider);
        self.admit()
    }

    /// Puts other limits in force, and says who goes at once. Who runs beyond a smaller one runs on.
    pub fn set_limits(&mut self, limits: Limits) -> Vec<(Place, Scopes)> {
        self.limits = limits;
        self.admit()
    }

    /// How many calls may run in all.
    pub fn global(&self) -> usize {
        self.limits.global
    }

    fn admit(&mut self) -> Vec<(Place, Scopes)> {
        let mut admitted = Vec::new();
        let places: Vec<Place> = self.waiting.keys().copied().collect();
        for place in places {
            if self.running >= self.limits.global {
                break;
            }
            if self.waiting.get(&place).is_some_and(|waiter| self.has_room(waiter))
                && let Some(waiter) = self.leave(place)
            {
                self.take(&waiter);
                admitted.push((place, waiter));
            }
        }
        admitted
    }

    /// Someone stops waiting. Nobody else can go because of it: a waiter held nothing.
    pub fn leave(&mut self, place: Place) -> Option<Scopes> {
        let waiter = self.waiting.remove(&place)?;
        give_back(&mut self.queued, &waiter.provider);
        Some(waiter)
    }

    /// How many calls may wait at all providers together.
    pub fn waiting_max(&self) -> usize {
        self.limits.per_provider.len() * WAITING_MAX
    }

    /// Calls that hold permits.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The limits that have a name of their own, and how much of each is taken.
    pub fn gauges(&self) -> Vec<PermitGauge> {
        let global =
            PermitGauge { scope: "global".to_owned(), in_use: self.running, limit: self.limits.global };
        let providers = self.limits.per_provider.iter().map(|(provider, limit)| PermitGauge {
            scope: format!("provider:{provider}"),
            in_use: taken(&self.providers, provider),
            limit: *limit,
        });
        std::iter::once(global).chain(providers).collect()
    }

    fn has_room(&self, scopes: &Scopes) -> bool {
        let provider_limit = self.limits.per_provider.get(&scopes.provider).copied().unwrap_or(0);
        self.running < self.limits.global
            && taken(&self.providers, &scopes.provider) < provider_limit
            && taken(&self.sessions, &scopes.session) < self.limits.per_session
            && taken(&self.conversations, &scopes.conversation) < self.limits.per_conversation
    }

    fn take(&mut self, scopes: &Scopes) {
        self.running += 1;
        *self.sessions.entry(scopes.session).or_default() += 1;
        *self.conversations.entry(scopes.conversation).or_default() += 1;
        *self.providers.entry(scopes.provider.clone()).or_default() += 1;
    }
}

fn taken<K: Hash + Eq>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    let count = counts.get_mut(key).expect("a permit is given back where it was taken");
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

#[cfg(test)]
mod tests;
