//! What each client did, by the name that it gives itself. Pure but for [`Client`], which counts on behalf of one connection.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use super::recorder;
use crate::clock::UtcMillis;
use crate::ids::Principal;

/// Names that are counted apart; clients beyond them are [`OTHER`].
const NAMES_MAX: usize = 64;
/// Characters of a name that count.
const NAME_CHARS_MAX: usize = 64;
/// The name of everyone beyond the bound.
const OTHER: &str = "other";
/// A client that comes back within this time has reconnected.
const RECONNECTED_WITHIN: Duration = Duration::from_secs(60);
/// Clients that went and may come back.
const GONE_MAX: usize = 1024;

/// What all connections of one client name did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ClientTotals {
    /// Connections now.
    pub connected: u64,
    /// Connections ever.
    pub sessions: u64,
    /// Connections of a principal that had gone less than a minute before.
    pub reconnections: u64,
    /// Messages from it.
    pub messages_in: u64,
    /// Messages to it.
    pub messages_out: u64,
    /// Requests that were answered with an error.
    pub errors: u64,
    /// Calls that were answered by another call: one of the same idempotency key, or one whose answer had reached nobody.
    pub deduplicated: u64,
    /// How long its connections have lasted together, in milliseconds.
    pub connected_ms: u64,
    /// When it last did anything (UTC, milliseconds), to a second.
    pub last_activity: UtcMillis,
}

/// What is counted of a client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    MessageIn,
    MessageOut,
    Error,
    Deduplicated,
}

/// What one thread counted of one client since it last handed over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    messages_in: u64,
    messages_out: u64,
    errors: u64,
    deduplicated: u64,
}

impl Tally {
    pub(super) fn count(&mut self, what: Count) {
        match what {
            Count::MessageIn => self.messages_in += 1,
            Count::MessageOut => self.messages_out += 1,
            Count::Error => self.errors += 1,
            Count::Deduplicated => self.deduplicated += 1,
        }
    }
}

/// The connection of a client, from its introduction on; it ends when this is dropped.
#[derive(Debug)]
pub struct Client {
    pub(super) place: usize,
    pub(super) principal: Principal,
    pub(super) since: UtcMillis,
}

impl Client {
    /// The client sent a message.
    pub fn message_in(&self) {
        recorder::count(self.place, Count::MessageIn);
    }

    /// A message went to the client.
    pub fn message_out(&self) {
        recorder::count(self.place, Count::MessageOut);
    }

    /// A request was answered with an error.
    pub fn error(&self) {
        recorder::count(self.place, Count::Error);
    }

    /// A call was answered by another one.
    pub fn deduplicated(&self) {
        recorder::count(self.place, Count::Deduplicated);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        recorder::disconnected(self);
    }
}

/// All clients, each at a place of its own for good.
#[derive(Debug, Default)]
pub(super) struct Clients {
    names: Vec<(String, ClientTotals)>,
    /// Who went lately, and when; the newest last.
    gone: VecDeque<(usize, Principal, UtcMillis)>,
    /// For each place, when its open connections began, summed up: what they have lasted is told without a list of them.
    began_sums: Vec<i128>,
}

impl Clients {
    /// A connection introduced itself; the place of its name.
    pub(super) fn opened(&mut self, name: &str, principal: &Principal, now: UtcMillis) -> usize {
        let place = self.place_of(name);
        let within = i64::try_from(RECONNECTED_WITHIN.as_millis()).unwrap_or(i64::MAX);
        let left = self.gone.iter().position(|(gone, who, at)| {
            *gone == place && who == principal && now.0.saturating_sub(at.0) <= within
        });
        let totals = &mut self.names[place].1;
        if let Some(left) = left {
            self.gone.remove(left);
            totals.reconnections += 1;
        }
        totals.sessions += 1;
        totals.connected += 1;
        totals.last_activity = now;
        self.began_sums[place] += i128::from(now.0);
        place
    }

    /// A connection that began at `since` ended.
    pub(super) fn closed(&mut self, client: &Client, now: UtcMillis) {
        let Some((_, totals)) = self.names.get_mut(client.place) else { return };
        totals.connected = totals.connected.saturating_sub(1);
        totals.connected_ms += u64::try_from(now.0.saturating_sub(client.since.0)).unwrap_or(0);
        totals.last_activity = now;
        self.began_sums[client.place] -= i128::from(client.since.0);
        if self.gone.len() >= GONE_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back((client.place, client.principal.clone(), now));
    }

    /// Adds what a thread counted, by place.
    pub(super) fn add(&mut self, tallies: &[Tally], now: UtcMillis) {
        for ((_, totals), tally) in self.names.iter_mut().zip(tallies) {
            let Tally { messages_in, messages_out, errors, deduplicated } = *tally;
            totals.messages_in += messages_in;
            totals.messages_out += messages_out;
            totals.errors += errors;
            totals.deduplicated += deduplicated;
            if messages_in + messages_out + errors + deduplicated > 0 {
                totals.last_activity = now;
            }
        }
    }

    /// How they stand.
    pub(super) fn totals(&self, now: UtcMillis) -> BTreeMap<String, ClientTotals> {
        let all = self.names.iter().zip(&self.began_sums).map(|((name, totals), began)| {
            let open = i128::from(totals.connected) * i128::from(now.0) - began;
            let connected_ms = totals.connected_ms + u64::try_from(open).unwrap_or(0);
            (name.clone(), ClientTotals { connected_ms, ..*totals })
        });
        all.collect()
    }

    fn place_of(&mut self, name: &str) -> usize {
        let name = name.chars().filter(|char| !char.is_control()).take(NAME_CHARS_MAX).collect::<String>();
        let place =
            |names: &[(String, ClientTotals)], name: &str| names.iter().position(|(known, _)| known == name);
        if let Some(known) = place(&self.names, &name) {
            return known;
        }
        let name = if self.names.len() < NAMES_MAX { name } else { OTHER.to_owned() };
        if let Some(known) = place(&self.names, &name) {
            return known;
        }
        self.names.push((name, ClientTotals::default()));
        self.began_sums.push(0);
        self.names.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Principal {
        Principal::from("ann")
    }

    /// A connection that is not told to the books of the process when it ends.
    fn connection(place: usize, since: i64) -> std::mem::ManuallyDrop<Client> {
        std::mem::ManuallyDrop::new(Client { place, principal: ann(), since: UtcMillis(since) })
    }

    #[test]
    fn a_client_that_is_back_within_a_minute_has_reconnected_once() {
        let mut clients = Clients::default();
        let place = clients.opened("claude-code", &ann(), UtcMillis(1000));
        clients.closed(&connection(place, 1000), UtcMillis(2000));
        clients.opened("claude-code", &Principal::from("bob"), UtcMillis(3000));
        clients.opened("cursor", &ann(), UtcMillis(3000));
        assert_eq!(
            clients.totals(UtcMillis(3000))["claude-code"].reconnections,
            0,
            "another's, and another client"
        );
        clients.opened("claude-code", &ann(), UtcMillis(62_000));
        clients.opened("claude-code", &ann(), UtcMillis(62_000));
        let totals = clients.totals(UtcMillis(63_000))["claude-code"];
        assert_eq!((totals.reconnections, totals.sessions, totals.connected), (1, 4, 3));
        assert_eq!(totals.connected_ms, 1000 + 60_000 + 1000 + 1000);
        clients.closed(&connection(place, 62_000), UtcMillis(70_000));
        clients.opened("claude-code", &ann(), UtcMillis(130_001));
        assert_eq!(clients.totals(UtcMillis(130_001))["claude-code"].reconnections, 1, "a minute has passed");
    }

    #[test]
    fn what_threads_counted_is_added_where_it_belongs() {
        let mut clients = Clients::default();
        let (one, two) =
            (clients.opened("one", &ann(), UtcMillis(1)), clients.opened("two", &ann(), UtcMillis(1)));
        let mut tallies = vec![Tally::default(); 2];
        tallies[one].count(Count::MessageIn);
        tallies[one].count(Count::Error);
        clients.add(&tallies, UtcMillis(5));
        tallies[two].count(Count::Deduplicated);
        clients.add(&tallies, UtcMillis(9));
        let totals = clients.totals(UtcMillis(9));
        assert_eq!((totals["one"].messages_in, totals["one"].errors, totals["one"].deduplicated), (2, 2, 0));
        assert_eq!((totals["two"].deduplicated, totals["two"].last_activity), (1, UtcMillis(9)));
    }

    #[test]
    fn names_without_end_are_others() {
        let mut clients = Clients::default();
        for n in 0..10_000 {
            let place = clients.opened(&format!("client-{n}"), &ann(), UtcMillis(n));
            clients.closed(&connection(place, n), UtcMillis(n));
        }
        let totals = clients.totals(UtcMillis(0));
        assert_eq!(totals.len(), NAMES_MAX + 1);
        assert_eq!(totals.values().map(|client| client.sessions).sum::<u64>(), 10_000);
        assert!(clients.gone.len() <= GONE_MAX);
    }
}
