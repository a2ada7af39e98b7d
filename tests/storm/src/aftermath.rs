//! After a start: whoever was left without an answer comes back, and some of those who have one ask to hear it again.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::book::{Answer, Expect, Kind, Question};
use crate::client::Client;
use crate::crowd::settle;
use crate::weather::Weather;
use crate::world::{Mark, World};

/// How many come back at the same time.
const ABREAST: usize = 16;
/// How many of those who have their answer hear it again, in each chapter.
const HEARD_AGAIN_MAX: usize = 200;
/// How long an answer may take in calm weather.
const PATIENCE: Duration = Duration::from_secs(30);

/// One who comes back, and what for.
#[derive(Clone, Debug)]
struct Errand {
    question: Question,
    /// Asked in this order.
    steps: Vec<(Kind, Expect)>,
}

/// Sends everybody back who has a reason to come, and waits for them.
pub(crate) async fn come_back(world: &mut World, since: &Mark) -> io::Result<usize> {
    let states = world.learn(since).await?;
    world.weather(Weather::Calm, 0);
    let mut errands = errands(world, &states);
    let count = errands.len();
    world.rng.shuffle(&mut errands);
    let mut lanes: Vec<Vec<Errand>> = vec![Vec::new(); ABREAST];
    for (n, errand) in errands.into_iter().enumerate() {
        lanes[n % ABREAST].push(errand);
    }
    let mut walkers = JoinSet::new();
    let book = Rc::new(world.book.clone());
    let address = world.daemon.mcp;
    for (n, lane) in lanes.into_iter().enumerate() {
        let book = Rc::clone(&book);
        walkers.spawn_local(async move {
            let Ok(mut client) = Client::connect(address, n % 2 == 0, &book).await else {
                return book.odd("nobody could connect after the start".to_owned());
            };
            for Errand { question, steps } in lane {
                for (kind, expect) in steps {
                    if settle(&mut client, &book, &question, kind, expect, PATIENCE).await.is_err() {
                        return book.odd(format!("{}: the connection ended in calm weather", question.tag));
                    }
                }
            }
        });
    }
    while walkers.join_next().await.is_some() {}
    Ok(count)
}

fn errands(world: &mut World, states: &HashMap<String, (String, String)>) -> Vec<Errand> {
    // Ordered, so that a seed sends the same ones.
    let mut asked: BTreeMap<String, (Question, bool, bool)> = BTreeMap::new();
    for ask in world.book.asks().iter().filter(|ask| ask.keyed && ask.kind != Kind::Fence) {
        let question = Question { tag: ask.tag.clone(), keyed: true, model: ask.model };
        let (_, answered, heard) = asked.entry(ask.tag.clone()).or_insert((question, false, false));
        *answered |= ask.answers.iter().any(|(_, answer)| matches!(answer, Answer::Text { .. }));
        *heard |= !ask.answers.is_empty() || ask.cancelled.is_some();
    }
    let (mut errands, mut again) = (Vec::new(), Vec::new());
    for (tag, (question, answered, heard)) in asked {
        let state = states.get(&tag).map(|(id, state)| (id.clone(), state.as_str()));
        let mut steps = Vec::new();
        match state {
            Some((id, "completed")) => {
                steps = vec![(Kind::Chat, Expect::Text), (Kind::Result(id), Expect::Text)];
                if answered {
                    again.push(Errand { question, steps });
                    continue;
                }
            }
            Some((_, "unknown")) => {
                steps.push((Kind::Chat, Expect::Conflict));
                if world.rng.bool() {
                    steps.extend([(Kind::RetryUnknown, Expect::Text), (Kind::Chat, Expect::Text)]);
                }
            }
            Some((_, "interrupted")) => steps.push((Kind::Chat, Expect::Text)),
            // The journal has nothing under this key: the call was never accepted, or was given its key back.
            None if !heard => steps.push((Kind::Chat, Expect::Text)),
            Some((_, "failed" | "cancelled")) if world.rng.u32(..10) == 0 => {
                steps.push((Kind::Chat, Expect::Any));
            }
            Some(_) | None => {}
        }
        if !steps.is_empty() {
            errands.push(Errand { question, steps });
        }
    }
    world.rng.shuffle(&mut again);
    again.truncate(HEARD_AGAIN_MAX);
    errands.extend(again);
    errands
}
