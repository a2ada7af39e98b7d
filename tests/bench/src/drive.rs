//! Drives sessions: a closed loop, in which an answer starts the next call, and an open one, in which the clock does. Without think time.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::{JoinSet, yield_now};

use crate::client::{Client, Inbox};
use crate::frame::{self, FIRST_ID, Heard, Template};
use crate::session::Failed;
use crate::tally::Tally;

/// How long the last answers may take once nothing is asked any more.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// Calls that are sent in one go when the clock is behind, before the answers get their turn.
const BURST: usize = 64;

/// When a session stops asking: whichever comes first.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    pub(crate) at: Instant,
    /// Calls of one session.
    pub(crate) calls: u64,
}

/// Sessions that stay open from one drive to the next.
pub(crate) struct Crowd(Vec<(Rc<Client>, Inbox)>);

type Ended = (Rc<Client>, Inbox, io::Result<()>);

impl Crowd {
    /// Opens them one after the other.
    pub(crate) async fn open(to: SocketAddr, sessions: usize) -> io::Result<Self> {
        let mut crowd = Vec::with_capacity(sessions);
        for _ in 0..sessions {
            let (client, inbox) = Client::open(to, FIRST_ID).await?;
            crowd.push((Rc::new(client), inbox));
        }
        Ok(Self(crowd))
    }

    /// Each session keeps so many calls in flight.
    pub(crate) async fn closed(
        &mut self,
        template: &Template,
        in_flight: usize,
        until: Until,
    ) -> Result<Tally, Failed> {
        let tally = Rc::new(RefCell::new(Tally::new()?));
        let mut loops = JoinSet::new();
        for (client, mut inbox) in self.0.drain(..) {
            let (tally, template) = (Rc::clone(&tally), template.clone());
            loops.spawn_local(async move {
                let ended = closed(&client, &mut inbox, &template, in_flight, until, &tally).await;
                (client, inbox, ended)
            });
        }
        self.gather(loops, until.at, &tally).await?;
        Ok(tally.replace(Tally::new()?))
    }

    /// All sessions together start so many calls a second, evenly spaced, whatever the answers do; each counts from when it was due.
    pub(crate) async fn open_loop(
        &mut self,
        template: &Template,
        rate: f64,
        until: Until,
    ) -> Result<Tally, Failed> {
        let tally = Rc::new(RefCell::new(Tally::new()?));
        let ended = Rc::new(tokio::sync::Notify::new());
        let clients: Vec<_> = self.0.iter().map(|(client, _)| Rc::clone(client)).collect();
        let mut loops = JoinSet::new();
        let asking = Rc::new(RefCell::new(true));
        for (client, mut inbox) in self.0.drain(..) {
            let (tally, ended, asking) = (Rc::clone(&tally), Rc::clone(&ended), Rc::clone(&asking));
            loops.spawn_local(async move {
                let read = read_until_quiet(&client, &mut inbox, &asking, &ended, &tally).await;
                (client, inbox, read)
            });
        }
        let paced = pace(&clients, template, rate, until).await;
        asking.replace(false);
        ended.notify_waiters();
        self.gather(loops, until.at, &tally).await?;
        paced?;
        Ok(tally.replace(Tally::new()?))
    }

    /// Takes the sessions back. Calls of a session that ended, or that were not answered in time, are counted as lost.
    async fn gather(
        &mut self,
        mut loops: JoinSet<Ended>,
        asked_until: Instant,
        tally: &RefCell<Tally>,
    ) -> Result<(), Failed> {
        let by = asked_until.max(Instant::now()) + ANSWERS_WITHIN;
        while !loops.is_empty() {
            let Ok(Some(ended)) = tokio::time::timeout_at(by.into(), loops.join_next()).await else {
                return Err(format!("sessions still waited {ANSWERS_WITHIN:?} after the last call").into());
            };
            let (client, inbox, ended) = ended?;
            if let Err(error) = ended {
                let lost = u64::try_from(client.in_flight()).unwrap_or(u64::MAX);
                tally.borrow_mut().fail(&format!("lost ({error})"), lost.max(1));
            } else {
                self.0.push((client, inbox));
            }
        }
        Ok(())
    }
}

async fn closed(
    client: &Client,
    inbox: &mut Inbox,
    template: &Template,
    in_flight: usize,
    until: Until,
    tally: &RefCell<Tally>,
) -> io::Result<()> {
    let mut left = until.calls;
    let start = Instant::now();
    while left > 0 && client.in_flight() < in_flight {
        client.ask(template, start);
        left -= 1;
    }
    client.flush().await?;
    while client.in_flight() > 0 {
        client.fill(inbox).await?;
        let now = Instant::now();
        let answers = count(client, inbox, now, tally)?;
        if now < until.at {
            for _ in 0..answers.min(left) {
                client.ask(template, now);
                left -= 1;
            }
        }
        client.flush().await?;
    }
    Ok(())
}

/// Counts what is here; gives how many answers there were.
fn count(client: &Client, inbox: &mut Inbox, now: Instant, tally: &RefCell<Tally>) -> io::Result<u64> {
    let (mut tally, mut answers) = (tally.borrow_mut(), 0);
    while let Some(message) = client.next(inbox)? {
        match frame::read(&message) {
            Heard::Notice => tally.notices += 1,
            Heard::Answer(id, failure) => match client.answered(id) {
                Some(due) => {
                    tally.answer(now.saturating_duration_since(due), failure);
                    answers += 1;
                }
                None => tally.fail("answered twice", 1),
            },
        }
    }
    Ok(answers)
}

async fn read_until_quiet(
    client: &Client,
    inbox: &mut Inbox,
    asking: &RefCell<bool>,
    ended: &tokio::sync::Notify,
    tally: &RefCell<Tally>,
) -> io::Result<()> {
    loop {
        let end = ended.notified();
        let asks = *asking.borrow();
        if !asks && client.in_flight() == 0 {
            return Ok(());
        }
        tokio::select! {
            filled = client.fill(inbox) => {
                filled?;
                count(client, inbox, Instant::now(), tally)?;
                client.flush().await?;
            }
            () = end, if asks => {}
        }
    }
}

async fn pace(clients: &[Rc<Client>], template: &Template, rate: f64, until: Until) -> io::Result<()> {
    let calls = until.calls.saturating_mul(clients.len() as u64);
    let plan = Plan { start: Instant::now(), rate, calls, until: until.at };
    let mut bell = plan.ring()?;
    let mut next = 0;
    loop {
        let rung = bell.recv().await;
        let mut in_burst = 0;
        while let Some(due) = plan.due(next).filter(|due| *due <= Instant::now()) {
            if in_burst >= BURST {
                yield_now().await;
                in_burst = 0;
            }
            let client = &clients[usize::try_from(next).unwrap_or(0) % clients.len()];
            client.ask(template, due);
            client.flush().await?;
            in_burst += 1;
            next += 1;
        }
        if rung.is_none() {
            return Ok(());
        }
    }
}

/// When the calls of an open loop are due.
#[derive(Clone, Copy)]
struct Plan {
    start: Instant,
    rate: f64,
    calls: u64,
    until: Instant,
}

impl Plan {
    fn due(self, n: u64) -> Option<Instant> {
        let due = self.start + Duration::from_secs_f64(n as f64 / self.rate);
        (n < self.calls && due < self.until).then_some(due)
    }

    /// A bell that rings when calls are due, until its listener or the plan ends. It hangs in a thread of its own: the runtime's timer
    /// counts in milliseconds, which is coarser than a call takes.
    fn ring(self) -> io::Result<mpsc::Receiver<()>> {
        let (bell, heard) = mpsc::channel(1);
        std::thread::Builder::new().name("bell".to_owned()).spawn(move || {
            for due in (0..).map_while(|n| self.due(n)) {
                let wait = due.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    continue;
                }
                std::thread::sleep(wait);
                // One that was not heard yet stands for this one too.
                if let Err(TrySendError::Closed(())) = bell.try_send(()) {
                    return;
                }
            }
        })?;
        Ok(heard)
    }
}
