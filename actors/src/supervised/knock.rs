//! How long messages wait for an actor: one that asks nothing is sent every second, and its wait is theirs.

use std::pin::pin;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Handler, Message, WeakAddr};

use crate::clock;
use crate::mail::{self, MailError};
use crate::meter;

/// How long one waits in the mailbox; then another takes its place.
const ANSWERED_WITHIN: Duration = Duration::from_secs(600);

/// Asks nothing, and is handled by doing nothing.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Knock;

/// Knocks for as long as the actor is there. Who does not answer is said to have kept waiting so long already; the time that its thread
/// was held up counts too, as it does for a message from another thread.
pub(super) async fn keep_knocking<A>(name: &'static str, actor: WeakAddr<A>)
where
    A: Actor + Handler<Knock>,
    A::Context: ToEnvelope<A, Knock>,
{
    let mut unanswered_since = None;
    loop {
        let due = clock::now() + meter::TICK;
        tokio::time::sleep_until(due).await;
        let Some(actor) = actor.upgrade() else { return };
        let since = *unanswered_since.get_or_insert(due);
        let tell = || meter::waited(name, clock::now().saturating_duration_since(since));
        let mut answer = pin!(mail::ask(&actor, Knock, ANSWERED_WITHIN));
        let answered = loop {
            match tokio::time::timeout(meter::TICK, &mut answer).await {
                Ok(answered) => break answered,
                Err(_) => tell(),
            }
        };
        match answered {
            Ok(()) => {
                tell();
                unanswered_since = None;
            }
            Err(MailError::TimedOut) => {}
            // Nobody is there: it was given up, or died of it.
            Err(MailError::Closed | MailError::Full) => unanswered_since = None,
        }
    }
}

#[cfg(all(test, not(feature = "metrics-off")))]
mod tests {
    use actix::{Arbiter, AsyncContext, Context, Supervised, WrapFuture};
    use tokio::sync::mpsc;

    use super::*;
    use crate::supervised::{self, Intensity, Start};

    struct Porter;

    impl Actor for Porter {
        type Context = Context<Self>;
    }

    impl Supervised for Porter {}

    impl Handler<Knock> for Porter {
        type Result = ();

        fn handle(&mut self, _: Knock, _: &mut Context<Self>) {}
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct BeBusy(Duration);

    impl Handler<BeBusy> for Porter {
        type Result = ();

        fn handle(&mut self, BeBusy(time): BeBusy, context: &mut Context<Self>) {
            context.wait(tokio::time::sleep(time).into_actor(self));
        }
    }

    #[actix::test]
    async fn the_wait_for_a_busy_actor_is_told_while_it_lasts_and_after_it() {
        tokio::time::pause();
        let (sink, mut deltas) = mpsc::channel(16);
        meter::attach("test", &sink);
        let arbiter = Arbiter::current();
        let start = Start { name: "porter", arbiter: &arbiter, mailbox: 4, intensity: Intensity::default() };
        let porter = supervised::start(start, |_| (), |_| Porter);
        mail::tell(&porter, BeBusy(Duration::from_millis(4_500))).unwrap();
        let mut waits = Vec::new();
        while waits.len() < 6 {
            waits.extend(deltas.recv().await.unwrap().mailboxes.get("porter").map(Duration::as_millis));
        }
        let longest = waits.iter().position(|wait| wait == waits.iter().max().unwrap()).unwrap();
        assert!(waits[..longest].is_sorted() && (3_400..3_700).contains(&waits[longest]), "{waits:?}");
        assert!(waits[longest + 1..].iter().all(|wait| *wait < 100), "{waits:?}");
    }

    #[actix::test]
    async fn a_thread_that_is_held_up_holds_up_its_messages() {
        tokio::time::pause();
        let (sink, mut deltas) = mpsc::channel(16);
        meter::attach("test", &sink);
        let arbiter = Arbiter::current();
        let start = Start { name: "porter", arbiter: &arbiter, mailbox: 4, intensity: Intensity::default() };
        let _porter = supervised::start(start, |_| (), |_| Porter);
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The clock goes on while the thread does not.
        tokio::time::advance(Duration::from_secs(3)).await;
        let mut longest = Duration::ZERO;
        for _ in 0..4 {
            longest = deltas
                .recv()
                .await
                .unwrap()
                .mailboxes
                .get("porter")
                .copied()
                .unwrap_or_default()
                .max(longest);
        }
        assert!(longest >= Duration::from_secs(2), "{longest:?}");
    }
}
