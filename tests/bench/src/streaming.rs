//! `streaming`: many answers that stream at once. How soon a caller hears of its call, how soon the upstream does, how long the end of an
//! answer takes from the upstream to the caller; and that no answer lacks a word.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use exai_upstream::{Ended, Entry};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::client::{Client, Inbox};
use crate::frame::{FIRST_ID, Template};
use crate::load::on_one_thread;
use crate::session::Failed;
use crate::tally::{Meter, Tally};
use crate::world::{MODEL, Setting, World};

/// Ids of one session lie this far from the next one's, so that an id names a call of all sessions.
const IDS_OF_A_SESSION: u64 = 1_000_000;
/// How long the last answer may take beside what the double takes.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

/// How many, over how many sessions.
#[derive(Args, Clone, Copy)]
pub(crate) struct Plan {
    /// Answers that stream at once.
    #[arg(long, default_value_t = 512)]
    streams: usize,
    /// Sessions that ask for them.
    #[arg(long, default_value_t = 64)]
    sessions: usize,
    /// Words of each answer.
    #[arg(long, default_value_t = 100)]
    tokens: u32,
    /// Milliseconds between two of its chunks.
    #[arg(long, default_value_t = 20)]
    pace: u32,
}

/// When one call was asked, and what came.
struct Call {
    asked: Instant,
    first_progress: Option<Instant>,
    answer: Option<(Instant, Value)>,
}

type Calls = HashMap<u64, Call>;

/// Measures all of it.
pub(crate) fn measure(mut setting: Setting, plan: Plan) -> Result<String, Failed> {
    setting.script = format!("think=0+tokens={}+pace={}", plan.tokens, plan.pace);
    let postgres = setting.postgres()?;
    let world = World::start(&setting, postgres.as_ref())?;
    let server = world.daemon.process();
    let streams = plan.streams.div_ceil(plan.sessions.max(1)) * plan.sessions.max(1);
    let (alone, _) = on_one_thread(stream(&world, 1, 1))??;
    let meter = Meter::read(server)?;
    let (calls, most) = on_one_thread(stream(&world, plan.sessions.max(1), streams))??;
    let used = meter.used(server)?;
    let journal = world.kimi.journal();
    Ok(format!(
        "{streams} streams over {} sessions, {} words each, one in {} ms, {}; at most {most} at once upstream\n\
         {}\n{used}; server CPU {:.1} us per chunk\nfor comparison one stream alone:\n{}",
        plan.sessions,
        plan.tokens,
        plan.pace,
        setting.storage(),
        judge(&world, &calls, &journal)?,
        used.server_us_per(streams as u64 * u64::from(plan.tokens)),
        judge(&world, &alone, &journal)?,
    ))
}

/// Asks for all of them at once; gives also how many were upstream at once.
async fn stream(world: &World, sessions: usize, streams: usize) -> Result<(Calls, usize), Failed> {
    let template = Rc::new(Template::chat(MODEL, true));
    let mut crowd = Vec::new();
    // The ids of the crowd begin after those of the one that came before it.
    let base = FIRST_ID + IDS_OF_A_SESSION * u64::from(streams > 1);
    for n in 0..sessions as u64 {
        crowd.push(Client::open(world.daemon.mcp, base + n * IDS_OF_A_SESSION).await?);
    }
    let mut loops = JoinSet::new();
    for (client, inbox) in crowd {
        let template = Rc::clone(&template);
        loops.spawn_local(ask_and_hear(client, inbox, template, streams / sessions));
    }
    let (mut calls, mut most) = (Calls::new(), 0);
    let all = async {
        while !loops.is_empty() {
            tokio::select! {
                heard = loops.join_next() => if let Some(heard) = heard { calls.extend(heard??) },
                () = tokio::time::sleep(Duration::from_millis(20)) => most = most.max(world.kimi.in_flight()),
            }
        }
        Ok::<(), Failed>(())
    };
    tokio::time::timeout(ANSWERS_WITHIN, all).await??;
    Ok((calls, most))
}

async fn ask_and_hear(
    client: Client,
    mut inbox: Inbox,
    template: Rc<Template>,
    streams: usize,
) -> std::io::Result<Calls> {
    let mut calls = Calls::new();
    for _ in 0..streams {
        let asked = Instant::now();
        calls.insert(client.ask(&template, asked), Call { asked, first_progress: None, answer: None });
    }
    client.flush().await?;
    while client.in_flight() > 0 {
        client.fill(&mut inbox).await?;
        let now = Instant::now();
        while let Some(message) = client.next(&mut inbox)? {
            let message: Value = serde_json::from_slice(&message)?;
            let token = &message["params"]["progressToken"];
            if let Some(call) = token.as_u64().and_then(|id| calls.get_mut(&id)) {
                call.first_progress.get_or_insert(now);
            } else if let Some(id) = message["id"].as_u64()
                && client.answered(id).is_some()
                && let Some(call) = calls.get_mut(&id)
            {
                call.answer = Some((now, message));
            }
        }
        client.flush().await?;
    }
    Ok(calls)
}

/// Compares what callers got with what the double sent. Its clock counts whole milliseconds from its start.
fn judge(world: &World, calls: &Calls, journal: &[Entry]) -> Result<String, Failed> {
    let entries: HashMap<&str, &Entry> =
        journal.iter().map(|entry| (entry.last_user.as_str(), entry)).collect();
    let (mut progress, mut there, mut back) = (Tally::new()?, Tally::new()?, Tally::new()?);
    let mut first = Tally::new()?;
    for (id, call) in calls {
        let entry = entries.get(format!("call {id}").as_str()).ok_or("a call never reached the double")?;
        let (answered, answer) = call.answer.as_ref().ok_or("a call was not answered")?;
        let receipt = &answer["result"]["_meta"]["exai/receipt"];
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
        let words = text.split_whitespace().count() as u64;
        // The double's token is a word.
        let sent = entry.completion_tokens;
        if answer["result"]["isError"] != Value::Bool(false) || entry.ended != Ended::Complete {
            return Err(format!("a stream was lost ({:?}): {answer}", entry.ended).into());
        }
        if words != sent || receipt["tokens"]["completion"].as_u64() != Some(sent) {
            return Err(format!("{words} of {sent} words came: {answer}").into());
        }
        first.answer(Duration::from_millis(receipt["first_token_ms"].as_u64().unwrap_or(0)), None);
        match call.first_progress {
            Some(at) => progress.answer(at - call.asked, None),
            None => progress.fail("no progress", 1),
        }
        let at = |millis: u64| world.double_since + Duration::from_millis(millis);
        there.answer(at(entry.at_ms).saturating_duration_since(call.asked), None);
        let end = at(entry.ended_at_ms.ok_or("a call never ended at the double")?);
        back.answer(answered.saturating_duration_since(end), None);
    }
    Ok(format!(
        "first progress {progress}\nfrom the call to its request at the upstream: {}\n\
         from the request to its first token, in whole milliseconds and by the receipts: {}\n\
         from the upstream's last byte to the answer: {}",
        there.latencies(),
        first.latencies(),
        back.latencies(),
    ))
}
