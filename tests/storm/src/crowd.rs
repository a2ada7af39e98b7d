//! Many clients at once, each with habits drawn from the seed: most ask and wait, some cancel, some leave in the middle and come
//! back, some stop reading, some ask the same thing twice.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::book::{Answer, Book, Expect, Kind, Question};
use crate::client::{Client, Ended};
use crate::clock;

/// The models that are asked: one of each double.
const MODELS: [&str; 2] = ["kimi-k2.6", "glm-5.3"];
/// How long a client waits before it connects again.
const RECONNECT_EVERY: Duration = Duration::from_millis(50);
/// The longest moments until a client cancels or leaves, in quick and in slow answers.
const MOMENT_SHORT_MS: u64 = 12;
const MOMENT_MAX_MS: u64 = 400;
/// The longest that a client sits out a refusal which says when to come back.
const SIT_OUT_MAX: Duration = Duration::from_millis(500);
/// How long somebody who came back goes on asking.
pub(crate) const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// How long a socket may stay open once its daemon was told to end.
const CLOSED_WITHIN: Duration = Duration::from_secs(40);

/// How often clients do what, in a thousand questions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Habits {
    pub(crate) cancel: u32,
    pub(crate) leave: u32,
    pub(crate) deaf: u32,
    pub(crate) twice: u32,
    pub(crate) unkeyed: u32,
}

impl Habits {
    /// A bit of everything.
    pub(crate) const MIXED: Self = Self { cancel: 80, leave: 50, deaf: 5, twice: 40, unkeyed: 250 };
}

/// What all clients of one chapter share.
pub(crate) struct Scene {
    pub(crate) book: Book,
    pub(crate) address: watch::Receiver<Option<SocketAddr>>,
    pub(crate) habits: Habits,
    /// What tells this chapter's questions from all others.
    pub(crate) prefix: String,
    pub(crate) seed: u64,
    /// How long an answer may take; beyond it the request hangs.
    pub(crate) patience: Duration,
    /// Questions that are still to be asked.
    pub(crate) left: Cell<usize>,
    pub(crate) asked: Cell<usize>,
    pub(crate) over: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Plain,
    Cancel,
    Leave,
    Deaf,
    Twice,
}

impl Scene {
    /// Sends that many clients on their way.
    pub(crate) fn begin(self: &Rc<Self>, clients: usize) -> JoinSet<()> {
        let mut crowd = JoinSet::new();
        for n in 0..clients {
            let scene = Rc::clone(self);
            let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(n as u64);
            crowd.spawn_local(async move { scene.live(Rng::with_seed(seed)).await });
        }
        crowd
    }

    fn is_over(&self) -> bool {
        self.over.get() || self.left.get() == 0
    }

    async fn live(&self, mut rng: Rng) {
        while !self.is_over() {
            let Some(mut client) = self.connect(&mut rng).await else { continue };
            let mut dropped = None;
            let stayed = self.ask_on(&mut client, &mut rng, &mut dropped).await;
            match (stayed, dropped) {
                (Ok(()), Some(question)) => {
                    client.drop_dead();
                    self.come_back(&question, &mut rng).await;
                }
                (Ok(()), None) => self.farewell(&mut client).await,
                (Err(Ended), _) => {}
            }
        }
    }

    async fn connect(&self, rng: &mut Rng) -> Option<Client> {
        let address = *self.address.borrow();
        if let Some(address) = address
            && let Ok(client) = Client::connect(address, rng.bool(), &self.book).await
        {
            return Some(client);
        }
        tokio::time::sleep(RECONNECT_EVERY).await;
        None
    }

    /// Asks until it is over, the connection ends, or this client leaves in the middle of a question.
    async fn ask_on(
        &self,
        client: &mut Client,
        rng: &mut Rng,
        dropped: &mut Option<Question>,
    ) -> Result<(), Ended> {
        while !self.is_over() {
            self.left.set(self.left.get() - 1);
            let question = self.question(rng);
            // Without a key the same words are another call.
            let mut habit = self.habit(rng);
            if habit == Habit::Twice && !question.keyed {
                habit = Habit::Plain;
            }
            let ask = client.ask(&question, Kind::Chat, Expect::Any).await?;
            match habit {
                Habit::Plain => {}
                Habit::Cancel => {
                    if !client.answered(ask, moment(rng)).await? {
                        client.cancel(ask).await?;
                        continue;
                    }
                }
                Habit::Leave => {
                    client.listen(moment(rng)).await?;
                    *dropped = Some(question);
                    return Ok(());
                }
                Habit::Deaf => {
                    tokio::time::sleep(Duration::from_millis(rng.u64(500..2500))).await;
                    *dropped = Some(question);
                    return Ok(());
                }
                Habit::Twice => {
                    let again = client.ask(&question, Kind::Chat, Expect::Any).await?;
                    self.wait(client, again, &question).await?;
                }
            }
            self.wait(client, ask, &question).await?;
            match self.book.answer_to(ask) {
                Some(Answer::Failed { kind, .. }) if kind == "draining" => {
                    client.until_closed(CLOSED_WITHIN).await;
                    return Err(Ended);
                }
                Some(Answer::Failed { retry_after: Some(wait), .. }) => {
                    client.listen(wait.min(SIT_OUT_MAX)).await?;
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Waits for an answer; none in all that time is a request that hangs.
    async fn wait(&self, client: &mut Client, ask: usize, question: &Question) -> Result<(), Ended> {
        if !client.answered(ask, self.patience).await? {
            self.book.odd(format!("{}: no answer within {:?}", question.tag, self.patience));
        }
        Ok(())
    }

    fn question(&self, rng: &mut Rng) -> Question {
        let n = self.asked.get();
        self.asked.set(n + 1);
        let keyed = rng.u32(..1000) >= self.habits.unkeyed;
        Question { tag: format!("{}-{n};", self.prefix), keyed, model: MODELS[rng.usize(..MODELS.len())] }
    }

    fn habit(&self, rng: &mut Rng) -> Habit {
        let Habits { cancel, leave, deaf, twice, .. } = self.habits;
        let mut draw = rng.u32(..1000);
        for (share, habit) in
            [(cancel, Habit::Cancel), (leave, Habit::Leave), (deaf, Habit::Deaf), (twice, Habit::Twice)]
        {
            if draw < share {
                return habit;
            }
            draw -= share;
        }
        Habit::Plain
    }

    /// Asks again, on a new connection, what was left in the middle; without a key it would be another call.
    async fn come_back(&self, question: &Question, rng: &mut Rng) {
        if !question.keyed {
            return;
        }
        let by = clock::now() + SETTLES_WITHIN;
        while !self.over.get() && clock::now() < by {
            let Some(mut client) = self.connect(rng).await else { continue };
            if settle(&mut client, &self.book, question, Kind::Chat, Expect::Any, self.patience).await.is_ok()
            {
                return;
            }
        }
    }

    /// What is answered behind everything else shows whether anything was said twice.
    async fn farewell(&self, client: &mut Client) {
        let question = Question { tag: format!("{}-fence", self.prefix), keyed: false, model: MODELS[0] };
        if let Ok(fence) = client.ask(&question, Kind::Fence, Expect::Any).await {
            let _ = self.wait(client, fence, &question).await;
        }
    }
}

/// How long until somebody has second thoughts: mostly in the middle of a quick answer, sometimes of a slow one.
fn moment(rng: &mut Rng) -> Duration {
    let longest = if rng.u32(..4) == 0 { MOMENT_MAX_MS } else { MOMENT_SHORT_MS };
    Duration::from_millis(rng.u64(..longest))
}

/// Asks until there is an answer that does not say "not now"; gives it, or the last one there was. A failure that is told twice of
/// the same call is what the key stands for.
pub(crate) async fn settle(
    client: &mut Client,
    book: &Book,
    question: &Question,
    kind: Kind,
    expect: Expect,
    patience: Duration,
) -> Result<Option<Answer>, Ended> {
    let by = clock::now() + SETTLES_WITHIN;
    let mut told = None;
    loop {
        let answer = client.consult(question, kind.clone(), expect, patience).await?;
        match &answer {
            Some(Answer::Failed { retry_after: Some(wait), kind, call })
                if kind != "draining" && clock::now() < by && (call.is_none() || *call != told) =>
            {
                told.clone_from(call);
                client.listen((*wait).min(SIT_OUT_MAX)).await?;
            }
            Some(_) => return Ok(answer),
            None => {
                book.odd(format!("{}: no answer within {patience:?}", question.tag));
                return Ok(None);
            }
        }
    }
}
