//! The bridge at work: one loop between the client's lines and the daemon's connection, of which there is one, or one being made, or a
//! pause before the next attempt. The ledger decides, this acts.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use exai_actors::clock::{self, Instant};
use tokio::sync::mpsc;

use super::daemon::{Connection, Daemon, Down};
use super::ledger::{self, Ledger, Step};
use super::lines::Line;
use super::message;
use super::outage::Failing;

/// Between attempts to connect, at most: from this, doubling.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// To this.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Messages that may wait for the connection before the client is read no further, beside what is sent again.
const QUEUED_MAX: usize = 32;

/// What a bridge is made of.
pub(super) struct Setup {
    pub(super) input: mpsc::Receiver<Line>,
    pub(super) output: mpsc::Sender<String>,
    /// Draws a name that nobody can guess.
    pub(super) draw_key: fn() -> String,
    /// `limits.message_bytes`.
    pub(super) message_bytes_max: usize,
    /// So many requests are sent again at once: half of `limits.burst`, because what is late on its way comes closer to what follows it.
    pub(super) at_once: usize,
    /// From `limits.requests_per_second`: how far apart the others are.
    pub(super) apart: Duration,
}

/// One bridge.
pub(super) struct Bridge {
    setup: Setup,
    daemon: Rc<Daemon>,
    ledger: Ledger,
    link: Link,
    queue: Queue,
    /// Attempts since the daemon said something, and those that failed while somebody waited. A daemon that leaves may go on taking
    /// connections for a moment: one on which it said nothing has failed too.
    failed: u32,
    failing: Option<Failing>,
}

enum Link {
    Up(Connection),
    Trying(Pin<Box<dyn Future<Output = Result<Connection, Down>>>>),
    Pause(Instant),
}

/// What is to be sent.
struct Queue {
    lines: VecDeque<String>,
    /// So many at the front are sent again, and so many of them may go at once.
    again: usize,
    at_once: usize,
    not_before: Instant,
}

enum Event {
    Heard(Option<Line>),
    Told(Option<String>),
    Sendable,
    Tried(Result<Connection, Down>),
    PauseOver,
    Unread,
}

impl Bridge {
    /// Looks for the daemon at once, and starts it where there is none.
    pub(super) fn new(setup: Setup, daemon: Daemon) -> Self {
        let (ledger, daemon) = (Ledger::new(setup.message_bytes_max), Rc::new(daemon));
        let queue = Queue { lines: VecDeque::new(), again: 0, at_once: 0, not_before: clock::now() };
        let link = attempt(&daemon, &ledger, true);
        Self { setup, daemon, ledger, link, queue, failed: 0, failing: None }
    }

    /// Serves until the input has ended and everything is answered, or nobody reads the output.
    pub(super) async fn run(mut self) {
        let mut ended = false;
        while !(ended && self.ledger.is_empty()) {
            let hears = !ended && self.queue.lines.len() < QUEUED_MAX + self.queue.again;
            let send_at = (!self.queue.lines.is_empty()).then_some(self.queue.not_before);
            let event = tokio::select! {
                () = self.setup.output.closed() => Event::Unread,
                event = next(&mut self.link, send_at) => event,
                line = self.setup.input.recv(), if hears => Event::Heard(line),
            };
            match event {
                Event::Unread => return,
                Event::Heard(None) => ended = true,
                Event::Heard(Some(line)) => self.hear(line).await,
                Event::Told(Some(line)) => {
                    self.failed = 0;
                    if let Some(line) = self.ledger.tell(line) {
                        self.say(line).await;
                    }
                }
                Event::Told(None) => {
                    log::warn!(address:% = self.daemon.address(); "the connection to the daemon ended");
                    if self.failed == 0 {
                        self.failed = 1;
                        self.try_again();
                    } else {
                        self.pause();
                    }
                }
                Event::Sendable => self.send(),
                Event::Tried(Ok(connection)) => self.connected(connection).await,
                Event::Tried(Err(down)) => self.not_connected(&down).await,
                Event::PauseOver => self.try_again(),
            }
            self.daemon.set_awaited(!self.ledger.is_empty());
        }
    }

    async fn hear(&mut self, line: Line) {
        let allowed = self.setup.message_bytes_max;
        let line = match line {
            Line::Text(line) => line,
            Line::Broken => {
                return self.say(message::refusal(None, message::PARSE_ERROR, "the line is not UTF-8")).await;
            }
            Line::TooLong(id) => return self.say(ledger::too_large(id.as_ref(), allowed)).await,
        };
        let waited_for = !self.ledger.is_empty();
        let connected = matches!(self.link, Link::Up(_));
        match self.ledger.hear(line, self.setup.draw_key, connected, clock::now()) {
            Step::Send(line) => self.queue.lines.push_back(line),
            Step::Answer(line) => self.say(line).await,
            Step::Done => {
                let is_first = !waited_for && !self.ledger.is_empty();
                if is_first && matches!(self.link, Link::Pause(_)) {
                    self.try_again();
                }
            }
        }
    }

    /// A client that reads nothing is waited for: its answers are kept by the daemon meanwhile.
    async fn say(&self, line: String) {
        // One that is gone ends the loop.
        let _ = self.setup.output.send(line).await;
    }

    fn send(&mut self) {
        let (Link::Up(connection), Some(line)) = (&self.link, self.queue.lines.pop_front()) else { return };
        // There is room, and an end of the connection is heard of by itself.
        let _ = connection.to_server.try_send(line);
        if self.queue.again > 0 {
            self.queue.again -= 1;
            self.queue.at_once = self.queue.at_once.saturating_sub(1);
            if self.queue.again > 0 && self.queue.at_once == 0 {
                self.queue.not_before = clock::now() + self.setup.apart;
            }
        }
    }

    /// An idle bridge starts no daemon: whoever ended it may have meant it.
    fn try_again(&mut self) {
        self.link = attempt(&self.daemon, &self.ledger, !self.ledger.is_empty());
    }

    fn pause(&mut self) {
        let backoff = BACKOFF_MAX.min(BACKOFF_MIN * 2_u32.saturating_pow(self.failed.min(10)));
        self.failed += 1;
        self.link = Link::Pause(clock::now() + backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
    }

    async fn connected(&mut self, connection: Connection) {
        self.link = Link::Up(connection);
        self.failing = None;
        let (lines, given_up) = self.ledger.resend(clock::now());
        let again = lines.len();
        log::info!(address:% = self.daemon.address(), sent = again; "connected to the daemon");
        self.queue = Queue { lines, again, at_once: self.setup.at_once, not_before: clock::now() };
        for answer in given_up {
            self.say(answer).await;
        }
    }

    async fn not_connected(&mut self, down: &Down) {
        self.pause();
        if self.ledger.is_empty() {
            self.failing = None;
            return;
        }
        let now = clock::now();
        let failing = Failing::after(self.failing, down.patience(), now);
        self.failing = Some(failing);
        if !failing.is_over(now) {
            return;
        }
        let error = down.to_call_error(self.daemon.address());
        log::error!(address:% = self.daemon.address(); "{}", error.message);
        self.failing = None;
        for answer in self.ledger.fail(&error, now) {
            self.say(answer).await;
        }
    }
}

fn attempt(daemon: &Rc<Daemon>, ledger: &Ledger, may_start: bool) -> Link {
    let (daemon, hello) = (Rc::clone(daemon), ledger.hello());
    Link::Trying(Box::pin(async move { daemon.reach(hello, may_start).await }))
}

/// What the link comes to next. Where something is to be sent, from `send_at` on, it says when there is room for it.
async fn next(link: &mut Link, send_at: Option<Instant>) -> Event {
    match link {
        Link::Trying(attempt) => Event::Tried(attempt.await),
        Link::Pause(until) => {
            tokio::time::sleep_until(*until).await;
            Event::PauseOver
        }
        Link::Up(connection) => {
            let room = async {
                match send_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => pending().await,
                }
                connection.to_server.reserve().await.is_ok()
            };
            tokio::select! {
                told = connection.from_server.recv() => Event::Told(told),
                has_room = room => if has_room { Event::Sendable } else { Event::Told(None) },
            }
        }
    }
}
