//! Looks at everything on behalf of all browsers, twice a second while there is one, and tells what changed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use bytestring::ByteString;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Notify, broadcast, watch};

use super::board::{Board, EVENTS_MAX, Parts, raw};
use super::recent::{Rates, Recent, SAMPLE_EVERY, Sample};
use crate::clock::{self, Instant, UtcMillis};
use crate::dispatcher::messages::Load;
use crate::dispatcher::{CallSeen, Dispatcher, GetCalls};
use crate::events::{self, Entry, Query, Since};
use crate::health::HealthBoard;
use crate::ids::ProviderName;
use crate::mail;
use crate::metrics::Snapshot;
use crate::provider_supervisor::ProviderSupervisor;
use crate::provider_supervisor::messages::GetStanding;
use crate::storage::Store;

/// How often the picture is taken.
const TICK: Duration = Duration::from_millis(500);
/// Changes that a browser may be behind before it gets the whole picture again.
const BEHIND_MAX: usize = 16;
/// How long an actor may take to say how it is.
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// Ended calls that are shown.
const ENDED_MAX: usize = 60;
/// How often the bill of the day is read.
const COST_EVERY: Duration = Duration::from_secs(10);

/// One more part of the picture, from outside the actors: its name and what is to be shown.
pub type Seen = (String, serde_json::Value);

/// Who is looked at.
pub struct Sources {
    /// Calls.
    pub dispatcher: Addr<Dispatcher>,
    /// Permits.
    pub load: watch::Receiver<Load>,
    /// Sums.
    pub metrics: watch::Receiver<Arc<Snapshot>>,
    /// Breakers.
    pub supervisors: BTreeMap<ProviderName, Addr<ProviderSupervisor>>,
    /// How the parts are.
    pub board: HealthBoard,
    /// The bill of the day.
    pub store: Store,
    /// What only the outside knows, such as the open connections; the names are its own.
    pub outside: Box<dyn Fn() -> Vec<Seen> + Send>,
    /// Bytes of memory that the process holds.
    pub memory_bytes: fn() -> u64,
}

/// What browsers watch; clones watch the same.
#[derive(Clone)]
pub struct Watched {
    latest: watch::Receiver<Arc<Latest>>,
    changes: broadcast::Sender<(u64, ByteString)>,
    wanted: Arc<Notify>,
}

#[derive(Default)]
struct Latest {
    board: Board,
    samples: VecDeque<Sample>,
}

impl Watched {
    /// The whole picture with its place.
    pub(super) fn snapshot(&self) -> (u64, String) {
        let latest = Arc::clone(&self.latest.borrow());
        (latest.board.seq, latest.board.whole())
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<(u64, ByteString)> {
        let changes = self.changes.subscribe();
        self.wanted.notify_one();
        changes
    }

    /// The last quarter of an hour, oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        self.latest.borrow().samples.iter().cloned().collect()
    }

    /// Browsers that watch now.
    pub fn browsers(&self) -> usize {
        self.changes.receiver_count()
    }
}

/// Starts looking, on this thread, for ever.
pub fn watch(sources: Sources) -> Watched {
    let (published, latest) = watch::channel(Arc::new(Latest::default()));
    let changes = broadcast::Sender::new(BEHIND_MAX);
    let wanted = Arc::new(Notify::new());
    let watched = Watched { latest, changes: changes.clone(), wanted: Arc::clone(&wanted) };
    let mut look = Look::new(sources);
    actix::spawn(async move {
        loop {
            let due = if changes.receiver_count() > 0 { TICK } else { SAMPLE_EVERY };
            tokio::select! {
                () = tokio::time::sleep(due) => {}
                () = wanted.notified() => {}
            }
            let changed = look.look().await;
            let latest = Latest { board: look.picture.clone(), samples: look.recent.samples.clone() };
            published.send_replace(Arc::new(latest));
            if let Some(text) = changed {
                // Nobody watching is nobody to tell.
                let _ = changes.send((look.picture.seq, text.into()));
            }
        }
    });
    watched
}

struct Look {
    sources: Sources,
    picture: Board,
    recent: Recent,
    ended: VecDeque<CallSeen>,
    ended_next: u64,
    events_next: Option<u64>,
    sampled_at: Option<Instant>,
    billed_at: Option<Instant>,
    cost_today: Option<f64>,
}

impl Look {
    fn new(sources: Sources) -> Self {
        Self {
            sources,
            picture: Board::default(),
            recent: Recent::default(),
            ended: VecDeque::new(),
            ended_next: 0,
            events_next: None,
            sampled_at: None,
            billed_at: None,
            cost_today: None,
        }
    }

    /// Takes the picture; what changed, in words. What does not answer is not shown.
    async fn look(&mut self) -> Option<String> {
        let (now, at) = (clock::now(), clock::utc_now());
        let mut parts = Parts::new();
        let sources = &self.sources;
        let calls = mail::ask(&sources.dispatcher, GetCalls { since: self.ended_next }, ASK_WITHIN).await;
        let load = sources.load.borrow().clone();
        let sums = Arc::clone(&sources.metrics.borrow());
        for (provider, supervisor) in &sources.supervisors {
            let standing = mail::ask(supervisor, GetStanding, ASK_WITHIN).await.ok();
            put(&mut parts, format!("provider/{provider}"), &standing);
        }
        for (name, component) in sources.board.snapshot() {
            put(&mut parts, format!("health/{name}"), &component);
        }
        for (name, client) in events::clients() {
            // What grows with every moment is left to the browser's own clock.
            let shown = events::ClientTotals { connected_ms: 0, ..client };
            put(&mut parts, format!("client/{name}"), &shown);
        }
        for (name, value) in (sources.outside)() {
            put(&mut parts, name, &value);
        }
        if let Ok(calls) = calls {
            self.ended_next = calls.ended_next;
            for call in calls.ended {
                self.ended.push_back(call);
            }
            let beyond = self.ended.len().saturating_sub(ENDED_MAX);
            self.ended.drain(..beyond);
            for call in self.ended.iter().chain(&calls.live) {
                put(&mut parts, format!("call/{}", call.id), call);
            }
        }
        self.bill(now, at).await;
        let rates = self.recent.rates(now, &sums);
        put(&mut parts, "strip".to_owned(), &json!({ "rates": rates, "cost_today_usd": self.cost_today }));
        put(&mut parts, "load".to_owned(), &load);
        put(&mut parts, "sums".to_owned(), &sums.sums());
        put(&mut parts, "breakdown".to_owned(), &sums.breakdown());
        self.sample(now, at, &load, &sums, rates);
        let new = self.new_events();
        self.picture.turn(parts, &new)
    }

    /// Reads what was spent since midnight (UTC), from the journal.
    async fn bill(&mut self, now: Instant, at: UtcMillis) {
        if self.billed_at.is_some_and(|before| now.duration_since(before) < COST_EVERY) {
            return;
        }
        self.billed_at = Some(now);
        self.cost_today = self.sources.store.cost_of_day(at).await.ok();
    }

    fn sample(&mut self, now: Instant, at: UtcMillis, load: &Load, sums: &Snapshot, rates: Rates) {
        if self.sampled_at.is_some_and(|before| now.duration_since(before) < SAMPLE_EVERY - TICK / 2) {
            return;
        }
        self.sampled_at = Some(now);
        let told = sums.sums();
        let tokens = told
            .tokens
            .values()
            .fold([0, 0], |[prompt, answer], one| [prompt + one.prompt, answer + one.completion]);
        let sample = Sample {
            at,
            in_flight: load.in_flight,
            waiting: load.waiting,
            rates,
            tokens,
            cost_usd: told.cost_usd,
            memory_bytes: (self.sources.memory_bytes)(),
            lag_ms: sums.lags.values().max().map_or(0.0, |lag| lag.as_secs_f64() * 1000.0),
        };
        self.recent.sample(now, sums, sample);
    }

    fn new_events(&mut self) -> Vec<Entry> {
        let since = self.events_next.unwrap_or(0);
        let page =
            events::read(&Query { kind: None, since: Since::Sequence(since), limit: events::PAGE_MAX });
        self.events_next = Some(page.next);
        let beyond = page.events.len().saturating_sub(EVENTS_MAX);
        page.events.into_iter().skip(beyond).collect()
    }
}

fn put(parts: &mut Parts, name: String, part: &impl Serialize) {
    if let Some(part) = raw(part) {
        parts.insert(name, part);
    }
}
