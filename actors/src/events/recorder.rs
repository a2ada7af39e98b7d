//! Where events go: each thread's buffer, and the books that take it over. Recording never waits and never fails.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::clients::{Client, ClientTotals, Clients, Count, Tally};
use super::event::{Event, Facts, Lot, Weight};
use super::ring::{Page, Query, Ring};
use super::sampler::Sampler;
use crate::clock::{self, UtcMillis};
use crate::ids::Principal;

/// How often a thread that has something hands it over.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// Events that matter and wait for the database.
const WAITING_MAX: usize = 4096;

/// What threads have handed over.
static BOOKS: LazyLock<watch::Sender<Books>> = LazyLock::new(|| watch::Sender::new(Books::default()));
/// Whether the process ends, so that nothing may wait for a tick.
static HURRY: AtomicBool = AtomicBool::new(false);

thread_local! {
    static LOCAL: RefCell<Local> = RefCell::default();
}

/// What one thread holds.
#[derive(Default)]
struct Local {
    sampler: Sampler,
    tallies: Vec<Tally>,
    /// Whether a task of this thread is going to hand over.
    is_due: bool,
}

#[derive(Default)]
struct Books {
    ring: Ring,
    waiting: VecDeque<Event>,
    lost: u64,
    clients: Clients,
}

/// Tells that something happened. `facts` is asked for only when the event is shown as itself; it must not tell anything in turn.
pub fn note(lot: Lot, facts: impl FnOnce() -> Facts) {
    record(|local| local.sampler.take(lot, |lot| Event::new(lot, facts(), clock::utc_now())));
}

/// From here on nothing waits for a tick: the process ends, and what is told now is still to be written.
pub fn hurry() {
    HURRY.store(true, Ordering::Relaxed);
    hand_over();
}

/// What is asked for, from what has been handed over.
pub fn read(query: &Query<'_>) -> Page {
    BOOKS.borrow().ring.read(query)
}

/// Events that mattered and never got into the database: it was away, or there were too many.
pub fn lost() -> u64 {
    BOOKS.borrow().lost
}

/// What each client did, by name.
pub fn clients() -> BTreeMap<String, ClientTotals> {
    BOOKS.borrow().clients.totals(clock::utc_now())
}

/// A connection introduced itself under this name.
pub fn connected(name: &str, principal: &Principal, now: UtcMillis) -> Client {
    let mut place = 0;
    BOOKS.send_modify(|books| place = books.clients.opened(name, principal, now));
    Client { place, principal: principal.clone(), since: now }
}

pub(super) fn disconnected(client: &Client) {
    let now = clock::utc_now();
    BOOKS.send_modify(|books| books.clients.closed(client, now));
}

pub(super) fn count(place: usize, what: Count) {
    record(|local| {
        if local.tallies.len() <= place {
            local.tallies.resize(place + 1, Tally::default());
        }
        local.tallies[place].count(what);
    });
}

/// The oldest events that wait for the database.
pub(super) fn take_waiting(max: usize) -> Vec<Event> {
    let mut taken = Vec::new();
    BOOKS.send_if_modified(|books| {
        taken = books.waiting.drain(..books.waiting.len().min(max)).collect();
        !taken.is_empty()
    });
    taken
}

/// These will not be written any more.
pub(super) fn lose(events: u64) {
    BOOKS.send_modify(|books| books.lost += events);
}

fn record(into: impl FnOnce(&mut Local)) {
    // A thread whose locals are gone has nothing left to tell; one that is telling already would tell about its telling.
    let was_due = LOCAL.try_with(|local| {
        let Ok(mut local) = local.try_borrow_mut() else { return true };
        into(&mut local);
        std::mem::replace(&mut local.is_due, true)
    });
    if was_due == Ok(false) || HURRY.load(Ordering::Relaxed) {
        schedule();
    }
}

/// Has this thread hand over in a tick, or at once where it runs no tasks.
fn schedule() {
    match Handle::try_current() {
        Ok(here) if !HURRY.load(Ordering::Relaxed) => {
            let due = Due;
            // Our threads each run one runtime of their own, so the task is this thread's. With its runtime it ends early.
            here.spawn(async move {
                let _due = due;
                tokio::time::sleep(TICK).await;
            });
        }
        Ok(_) | Err(_) => hand_over(),
    }
}

/// Hands over when it is dropped: after the tick, or when its thread ends before.
struct Due;

impl Drop for Due {
    fn drop(&mut self) {
        hand_over();
    }
}

fn hand_over() {
    let held = LOCAL.try_with(|local| {
        let mut local = local.try_borrow_mut().ok()?;
        local.is_due = false;
        Some((local.sampler.drain(), std::mem::take(&mut local.tallies)))
    });
    let Ok(Some((events, tallies))) = held else { return };
    if events.is_empty() && tallies.is_empty() {
        return;
    }
    let now = clock::utc_now();
    BOOKS.send_modify(|books| books.take(events, &tallies, now));
}

impl Books {
    fn take(&mut self, events: Vec<Event>, tallies: &[Tally], now: UtcMillis) {
        self.clients.add(tallies, now);
        for event in events {
            if event.weight == Weight::Lasting {
                if self.waiting.len() < WAITING_MAX {
                    self.waiting.push_back(event.clone());
                } else {
                    self.lost += event.sampled;
                }
            }
            self.ring.push(event);
        }
    }
}
