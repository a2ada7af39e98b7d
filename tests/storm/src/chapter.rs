//! One chapter of a storm: a crowd asks while things break, the daemon goes on or ends and starts again, everybody comes back, and
//! the oracle judges.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::aftermath;
use crate::clock;
use crate::counted;
use crate::crowd::{Habits, Scene};
use crate::oracle::{Evidence, Rule, Violation, judge};
use crate::panics;
use crate::report::Report;
use crate::trouble::Trouble;
use crate::weather::Weather;
use crate::world::{Mark, RESOLVED_WITHIN, World};

/// How long a crowd may take to have so many calls under way.
const IN_FLIGHT_WITHIN: Duration = Duration::from_secs(30);
/// The longest random moment between having them under way and the end.
const MOMENT_MAX_MS: u64 = 200;
/// Beyond its drain, how long the daemon may take to end.
const EXIT_GRACE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);
/// Log lines that are shown with the first violation.
const LOG_LINES: usize = 30;

/// How a chapter ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everybody gets what they asked for, and the daemon goes on.
    Rest,
    /// kill -9, and a new start.
    Kill,
    /// SIGTERM, and a new start; the daemon has this long for what runs.
    Term(Duration),
}

/// What happens in a chapter.
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// Questions, at most.
    pub(crate) questions: usize,
    /// It ends after this long.
    pub(crate) lasting: Option<Duration>,
    /// It ends when so many upstream requests are under way.
    pub(crate) in_flight: Option<usize>,
    pub(crate) ending: Ending,
    pub(crate) habits: Habits,
    pub(crate) weather: Weather,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) panics: bool,
    pub(crate) patience: Duration,
}

/// Plays a chapter and has it judged.
pub(crate) async fn play(world: &mut World, plan: Plan, report: &mut Report) -> io::Result<()> {
    let since = world.mark().await?;
    world.chapters += 1;
    world.panics.clear();
    world.weather(plan.weather, plan.questions.min(20_000));
    let scene = Rc::new(Scene {
        book: world.book.clone(),
        address: world.address.subscribe(),
        habits: plan.habits,
        prefix: format!("s{}-{}", world.seed, world.chapters),
        seed: world.rng.u64(..),
        patience: plan.patience,
        left: Cell::new(plan.questions),
        asked: Cell::new(0),
        over: Cell::new(false),
    });
    let mut crowd = scene.begin(plan.clients);
    let mut found = Vec::new();
    let troubled = plan.trouble.is_some();
    climax(world, &plan, &scene, report, &mut found).await?;
    let closes = end(world, &plan, &scene, &mut crowd, report, &mut found).await?;
    if plan.ending == Ending::Rest && world.panics.is_empty() && !closes.is_empty() {
        let what = format!("connections that were read were closed: {closes:?}");
        found.push(Violation::new(Rule::Ended, "the daemon", what));
    }
    resolve(world, &plan, report, &mut found).await?;
    aftermath::come_back(world, &since).await?;
    found.extend(world.until_at_rest().await);
    found.extend(counted::differences(world).await?);
    conclude(world, &since, troubled, found, report).await
}

/// Lets it storm until it is time to end.
async fn climax(
    world: &mut World,
    plan: &Plan,
    scene: &Scene,
    report: &mut Report,
    found: &mut Vec<Violation>,
) -> io::Result<()> {
    let began = clock::now();
    let mut trouble = plan.trouble.clone();
    loop {
        tokio::time::sleep(POLL).await;
        let passed = clock::now().duration_since(began);
        if plan.panics {
            panics::plant(world).await?;
        }
        if let Some(strike) = trouble.take_if(|trouble| passed >= trouble.after) {
            strike.happen(world, report, found).await?;
        }
        if world.daemon.is_gone() {
            found.push(Violation::new(Rule::Ended, "the daemon", "it ended by itself"));
            return Ok(());
        }
        match plan.in_flight {
            Some(wanted) if world.in_flight() >= wanted => {
                tokio::time::sleep(Duration::from_millis(world.rng.u64(..MOMENT_MAX_MS))).await;
                report.say(&format!("chapter {}: {} under way upstream", world.chapters, world.in_flight()));
                return Ok(());
            }
            Some(wanted) if passed > IN_FLIGHT_WITHIN => {
                let what = format!("only {} of {wanted} calls under way in time", world.in_flight());
                found.push(Violation::new(Rule::AtRest, "the crowd", what));
                return Ok(());
            }
            Some(_) | None => {}
        }
        if scene.left.get() == 0 || plan.lasting.is_some_and(|lasting| passed >= lasting) {
            return Ok(());
        }
    }
}

/// Ends the chapter as planned, and starts the daemon again where that ended it; how connections were closed.
async fn end(
    world: &mut World,
    plan: &Plan,
    scene: &Scene,
    crowd: &mut JoinSet<()>,
    report: &mut Report,
    found: &mut Vec<Violation>,
) -> io::Result<std::collections::BTreeMap<u16, usize>> {
    world.book.take_closes();
    let gone = world.daemon.is_gone();
    match plan.ending {
        Ending::Rest if !gone => {
            scene.left.set(0);
            disperse(crowd).await;
            return Ok(world.book.take_closes());
        }
        Ending::Term(within) if !gone => {
            let asked = clock::now();
            world.address.send_replace(None);
            world.daemon.sigterm()?;
            let code = world.daemon.exit(within + EXIT_GRACE * 5).await;
            let took = clock::now().duration_since(asked);
            report.say(&format!(
                "chapter {}: ended {:.2} s after SIGTERM",
                world.chapters,
                took.as_secs_f64()
            ));
            if took > within + EXIT_GRACE || !matches!(code, Ok(Some(0))) {
                let what = format!("after SIGTERM it took {took:?} and ended with {code:?}");
                found.push(Violation::new(Rule::Ended, "the daemon", what));
                world.kill().await?;
            }
        }
        Ending::Kill | Ending::Rest | Ending::Term(_) => world.kill().await?,
    }
    scene.over.set(true);
    disperse(crowd).await;
    let closes = world.book.take_closes();
    if matches!(plan.ending, Ending::Term(_)) {
        report.say(&format!("sockets closed with {closes:?}"));
        if closes.keys().any(|code| *code != 1001) {
            found.push(Violation::new(
                Rule::Ended,
                "sockets",
                format!("not all closed with 1001: {closes:?}"),
            ));
        }
    }
    world.restart().await?;
    Ok(closes)
}

async fn disperse(crowd: &mut JoinSet<()>) {
    while crowd.join_next().await.is_some() {}
}

/// Waits until no row is open. After a start this is the recovery, and it has its time; where the daemon went on, whoever left in the
/// middle left a call behind, which may take as long as any.
async fn resolve(
    world: &World,
    plan: &Plan,
    report: &mut Report,
    found: &mut Vec<Violation>,
) -> io::Result<()> {
    let started_again = plan.ending != Ending::Rest;
    let within = if started_again { RESOLVED_WITHIN } else { plan.patience };
    match world.until_resolved(within).await? {
        Ok(after) if started_again => report.recovered(after),
        Ok(_) => {}
        Err(open) => {
            let what = format!("{open} rows are open {within:?} after everything ended");
            found.push(Violation::new(Rule::Recovered, "the database", what));
        }
    }
    Ok(())
}

async fn conclude(
    world: &mut World,
    since: &Mark,
    troubled: bool,
    mut found: Vec<Violation>,
    report: &mut Report,
) -> io::Result<()> {
    let asks = world.book.turn_page();
    report.count(&asks);
    let mut evidence = Evidence {
        asks,
        oddities: world.book.take_oddities(),
        entries: world.entries(since),
        calls: world.db.calls(&since.call).await?,
        attempts: world.db.attempts(&since.call).await?,
        torn: world.db.torn(&since.call).await?,
        tags: std::mem::take(&mut world.tags),
        unknown: std::mem::take(&mut world.unknown),
        panics: std::mem::take(&mut world.panics),
        troubled,
    };
    if !evidence.panics.is_empty() {
        report.say(&format!("chapter {}: {} panics planted", world.chapters, evidence.panics.len()));
    }
    evidence.name_calls();
    found.extend(judge(&evidence));
    // The same thing seen twice is one thing.
    let mut seen = HashSet::new();
    found.retain(|violation| seen.insert(violation.to_string()));
    report.broken(found, || world.daemon.tail(LOG_LINES));
    Ok(())
}
