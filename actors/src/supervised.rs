//! Restarts actors that panic. `actix::Supervisor` does not catch panics, so this polls the actor's context itself: the address
//! and the mailbox outlive the death, the state is rebuilt by [`Supervised::restarting`], and only the message in hand is lost.
//!
//! What an actor must hand from life to life (its configuration, its permits, its running tasks) it keeps in one cloneable value
//! and builds its new self from that. `restarting`, `stopped` and `Drop` must not panic: a second panic ends the process.

mod knock;

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use actix::dev::ContextFut;
use actix::dev::channel::channel;
use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Supervised};

use crate::clock::{self, Instant};
use crate::meter::{self, Counter};

pub use knock::Knock;

/// The wait before the first restart; it doubles with each death in the window.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// The longest wait before a restart.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How many deaths are too many; OTP's restart intensity.
#[derive(Debug, Clone, Copy)]
pub struct Intensity {
    /// Deaths that are still answered by a restart.
    pub restarts_max: u32,
    /// The window in which they are counted.
    pub within: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self { restarts_max: 5, within: Duration::from_secs(10) }
    }
}

/// What happened to a supervised actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// It panicked and lives again, with a new state behind the same address.
    Restarted,
    /// It panicked too often; its address is closed for good.
    GaveUp,
}

/// Who is started, where, and how patiently it is restarted.
pub struct Start<'a> {
    /// The actor's name in logs, metrics and health.
    pub name: &'static str,
    /// The thread that it lives on.
    pub arbiter: &'a ArbiterHandle,
    /// How many messages may wait for it.
    pub mailbox: usize,
    /// How many deaths are too many.
    pub intensity: Intensity,
}

/// Starts an actor that is restarted when it panics. `make` builds its first life on its own thread; `on_death` is told of every
/// death, on that thread, and must be quick.
pub fn start<A>(
    start: Start<'_>,
    on_death: impl Fn(Death) + Send + 'static,
    make: impl FnOnce(&mut Context<A>) -> A + Send + 'static,
) -> Addr<A>
where
    A: Actor<Context = Context<A>> + Supervised + Handler<Knock>,
{
    let Start { name, arbiter, mailbox, intensity } = start;
    let (sender, receiver) = channel(mailbox);
    let address = Addr::new(sender);
    let waited_for = address.downgrade();
    let spawned = arbiter.spawn_fn(move || {
        let mut context = Context::with_receiver(receiver);
        let actor = make(&mut context);
        actix::spawn(knock::keep_knocking(name, waited_for));
        actix::spawn(live(name, context.into_future(actor), Deaths::new(intensity), on_death));
    });
    if !spawned {
        log::error!(actor = name; "the thread of an actor has ended before the actor could start");
    }
    address
}

/// The name of the actor whose code runs on this thread, for the panic hook.
pub fn current_actor() -> Option<&'static str> {
    CURRENT.get()
}

thread_local! {
    static CURRENT: Cell<Option<&'static str>> = const { Cell::new(None) };
}

async fn live<A>(
    name: &'static str,
    mut life: ContextFut<A, Context<A>>,
    mut deaths: Deaths,
    on_death: impl Fn(Death),
) where
    A: Actor<Context = Context<A>> + Supervised,
{
    while !ended_well(name, &mut life).await {
        let Some(backoff) = deaths.record(clock::now()) else {
            log::error!(actor = name; "panicked too often and is given up");
            // The rest of a half-mutated actor may panic again while it is dropped.
            if catch_unwind(AssertUnwindSafe(|| drop(life))).is_err() {
                log::error!(actor = name; "panicked while it was dropped");
            }
            return on_death(Death::GaveUp);
        };
        tokio::time::sleep(backoff).await;
        meter::add(Counter::ActorRestarts, &[name], 1);
        match catch_unwind(AssertUnwindSafe(|| life.restart())) {
            Ok(true) => log::warn!(actor = name; "panicked and was restarted"),
            Ok(false) => return,
            Err(_) => log::error!(actor = name; "panicked while it was restarted"),
        }
        on_death(Death::Restarted);
    }
}

/// Runs the actor until it stops by itself (true) or panics (false).
async fn ended_well<A>(name: &'static str, life: &mut ContextFut<A, Context<A>>) -> bool
where
    A: Actor<Context = Context<A>>,
{
    poll_fn(|task| {
        let before = CURRENT.replace(Some(name));
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *life).poll(task)));
        CURRENT.set(before);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(true),
            Err(_) => Poll::Ready(false),
        }
    })
    .await
}

/// The deaths of one actor: how long to wait before its next life, or that there is none.
struct Deaths {
    intensity: Intensity,
    recent: VecDeque<Instant>,
}

impl Deaths {
    fn new(intensity: Intensity) -> Self {
        Self { intensity, recent: VecDeque::new() }
    }

    fn record(&mut self, now: Instant) -> Option<Duration> {
        while self.recent.front().is_some_and(|death| now.duration_since(*death) > self.intensity.within) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let deaths = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        if deaths > self.intensity.restarts_max {
            return None;
        }
        Some(BACKOFF_FIRST.saturating_mul(2u32.saturating_pow(deaths - 1)).min(BACKOFF_MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use actix::{Arbiter, Handler, Message};

    use super::*;
    use crate::mail::{self, MailError};

    #[derive(Default)]
    struct Counter {
        count: u32,
    }

    impl Actor for Counter {
        type Context = Context<Self>;
    }

    impl Supervised for Counter {
        fn restarting(&mut self, _: &mut Context<Self>) {
            *self = Self::default();
        }
    }

    impl Handler<Knock> for Counter {
        type Result = ();

        fn handle(&mut self, _: Knock, _: &mut Context<Self>) {}
    }

    #[derive(Message)]
    #[rtype(result = "u32")]
    enum Count {
        Up,
        Poison,
    }

    impl Handler<Count> for Counter {
        type Result = u32;

        fn handle(&mut self, message: Count, _: &mut Context<Self>) -> u32 {
            match message {
                Count::Up => self.count += 1,
                Count::Poison => panic!("poison"),
            }
            self.count
        }
    }

    const SOON: Duration = Duration::from_secs(5);

    fn counter(restarts_max: u32) -> (Addr<Counter>, Arc<AtomicU32>) {
        let given_up = Arc::new(AtomicU32::new(0));
        let noted = Arc::clone(&given_up);
        let arbiter = Arbiter::current();
        let intensity = Intensity { restarts_max, within: SOON };
        let address = start(
            Start { name: "counter", arbiter: &arbiter, mailbox: 64, intensity },
            move |death| {
                if death == Death::GaveUp {
                    noted.fetch_add(1, Ordering::SeqCst);
                }
            },
            |_| Counter::default(),
        );
        (address, given_up)
    }

    #[actix::test]
    async fn a_panic_loses_the_poison_alone_and_the_state() {
        let (counter, _) = counter(5);
        assert_eq!(mail::ask(&counter, Count::Up, SOON).await, Ok(1));
        let poison = mail::ask(&counter, Count::Poison, SOON);
        let behind = (0..10).map(|_| mail::ask(&counter, Count::Up, SOON)).collect::<Vec<_>>();
        let (poison, behind) = futures_util::join!(poison, futures_util::future::join_all(behind));
        assert_eq!(poison, Err(MailError::Closed));
        assert_eq!(behind, (1..=10).map(Ok).collect::<Vec<_>>());
    }

    #[actix::test]
    async fn too_many_deaths_are_handed_up() {
        let (counter, given_up) = counter(2);
        for _ in 0..3 {
            assert_eq!(mail::ask(&counter, Count::Poison, SOON).await, Err(MailError::Closed));
        }
        assert_eq!(mail::ask(&counter, Count::Up, SOON).await, Err(MailError::Closed));
        assert_eq!(given_up.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_wait_doubles_and_old_deaths_are_forgotten() {
        let mut deaths = Deaths::new(Intensity { restarts_max: 2, within: SOON });
        let start = clock::now();
        assert_eq!(deaths.record(start), Some(BACKOFF_FIRST));
        assert_eq!(deaths.record(start), Some(BACKOFF_FIRST * 2));
        assert_eq!(deaths.record(start), None);
        assert_eq!(deaths.record(start + SOON * 2), Some(BACKOFF_FIRST));
    }
}
