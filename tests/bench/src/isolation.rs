//! `isolation`: what trouble at one provider costs everybody else. The server, the doubles and the client share the machine, so the
//! figures are upper bounds, and the ratio is what travels.

use std::path::Path;
use std::time::Duration;

use exai_upstream::{Make, Script, Upstream};
use serde_json::json;

use crate::daemon::Daemon;
use crate::session::{Failed, Session};

/// Refusals that are measured.
const REFUSALS: usize = 2_000;
/// Refusals that are asked for at once.
const AT_ONCE: usize = 100;
/// Calls of a neighbour in one round.
const NEIGHBOURS: usize = 300;
/// Permits of the provider that hangs.
const HUNG: usize = 8;
/// Pings beside a long answer.
const PINGS: usize = 500;

/// Measures all of it.
pub(crate) fn measure(exai: &Path, pairs: usize) -> Result<String, Failed> {
    let (kimi, glm) = (Upstream::start(Make::Kimi)?, Upstream::start(Make::Glm)?);
    let limits = ["GLOBAL", "PER_SESSION", "BURST", "REQUESTS_PER_SECOND"];
    let mut variables = limits.map(|limit| (format!("EXAI_LIMITS__{limit}"), "10000".to_owned())).to_vec();
    variables.push(("EXAI_PROVIDERS__KIMI__BASE_URL".to_owned(), kimi.base_url()));
    variables.push(("EXAI_PROVIDERS__GLM__BASE_URL".to_owned(), glm.base_url()));
    let variables: Vec<(&str, String)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let daemon = Daemon::start_with(exai, &variables)?;
    glm.set_default(Script::of("pace=0+tokens=5"));
    actix_rt::System::new().block_on(async {
        let neighbours = neighbours(&daemon, &kimi, pairs).await?;
        let pings = pings(&daemon, &kimi).await?;
        let refusals = refusals(&daemon, &kimi).await?;
        Ok(format!("{neighbours}\n{pings}\n{refusals}"))
    })
}

/// GLM's calls while Kimi is well, and while it hangs with every permit taken; in turns.
async fn neighbours(daemon: &Daemon, kimi: &Upstream, pairs: usize) -> Result<String, Failed> {
    let mut well = Session::open(daemon.mcp).await?;
    let (mut ratios, mut without, mut with) = (Vec::new(), Vec::new(), Vec::new());
    round(&mut well).await?;
    for _ in 0..pairs {
        let alone = round(&mut well).await?;
        kimi.set_default(Script::of("stall-after=1"));
        let mut hung = Session::open(daemon.mcp).await?;
        let mut stuck = Vec::new();
        for n in 0..2 * HUNG {
            stuck.push(hung.begin_chat(&format!("hang {n}"), "kimi-k2.6").await?);
        }
        while kimi.in_flight() < HUNG {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let beside = round(&mut well).await?;
        for id in stuck {
            hung.cancel(id).await?;
        }
        while kimi.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ratios.push(beside.p99.as_secs_f64() / alone.p99.as_secs_f64());
        without.push(alone);
        with.push(beside);
    }
    ratios.sort_by(f64::total_cmp);
    let middle = |rounds: &[Spread]| {
        let mut rounds = rounds.to_vec();
        rounds.sort_by_key(|round| round.p99);
        rounds[rounds.len() / 2]
    };
    Ok(format!(
        "a neighbour's call, {NEIGHBOURS} a round: alone {}, beside a hung provider {}; p99 ratio median {:.3} of {pairs} pairs",
        middle(&without),
        middle(&with),
        ratios[ratios.len() / 2],
    ))
}

async fn round(well: &mut Session) -> Result<Spread, Failed> {
    let mut took = Vec::new();
    for n in 0..NEIGHBOURS {
        let answer = well.chat(&format!("pass {n}"), "glm-5.2").await?;
        if !answer.kind().is_empty() {
            return Err(format!("a neighbour failed: {}", answer.message).into());
        }
        took.push(answer.took);
    }
    Ok(Spread::of(took))
}

/// Pings and lists on the connection on which a long answer streams.
async fn pings(daemon: &Daemon, kimi: &Upstream) -> Result<String, Failed> {
    kimi.set_default(Script::of("endless+pace=5"));
    let mut session = Session::open(daemon.mcp).await?;
    let long = session.begin_chat("talk", "kimi-k2.6").await?;
    while kimi.in_flight() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (mut pings, mut lists) = (Vec::new(), Vec::new());
    for _ in 0..PINGS {
        pings.push(session.ask("ping", json!({})).await?.took);
        lists.push(session.ask("tools/list", json!({})).await?.took);
    }
    session.cancel(long).await?;
    Ok(format!("beside a long answer: ping {}, tools/list {}", Spread::of(pings), Spread::of(lists)))
}

/// Refusals while the breaker is open, many at once and one by one.
async fn refusals(daemon: &Daemon, kimi: &Upstream) -> Result<String, Failed> {
    kimi.set_default(Script::of("refuse=500"));
    let mut session = Session::open(daemon.mcp).await?;
    let (mut alone, mut crowd) = (Vec::new(), Vec::new());
    while crowd.len() < REFUSALS {
        // It is opened anew whenever its time is over.
        let answer = session.chat("fail", "kimi-k2.6").await?;
        if answer.kind() != "breaker_open" {
            continue;
        }
        let sent = kimi.journal().len();
        alone.push(answer.took);
        for n in 0..AT_ONCE {
            session.begin_chat(&format!("refuse {n}"), "kimi-k2.6").await?;
        }
        for _ in 0..AT_ONCE {
            let answer = session.next().await?;
            if answer.kind() == "breaker_open" {
                crowd.push(answer.took);
            }
        }
        for _ in 0..AT_ONCE {
            let answer = session.chat("refuse", "kimi-k2.6").await?;
            if answer.kind() == "breaker_open" {
                alone.push(answer.took);
            }
        }
        if kimi.journal().len() > sent + 3 {
            return Err("requests went upstream while the breaker was open".into());
        }
    }
    Ok(format!(
        "a refusal while the breaker is open: {}, {AT_ONCE} at once: {}",
        Spread::of(alone),
        Spread::of(crowd)
    ))
}

/// How long something took.
#[derive(Clone, Copy)]
struct Spread {
    p50: Duration,
    p99: Duration,
}

impl Spread {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        Self { p50: at(0.5), p99: at(0.99) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(out, "p50 {:.2} ms, p99 {:.2} ms", millis(self.p50), millis(self.p99))
    }
}
