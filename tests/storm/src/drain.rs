//! SIGTERM under load: with time for everything, with too little time, and with nothing to do.

use std::io;
use std::time::Duration;

use crate::book::{Answer, Expect, Kind, Question};
use crate::chapter::{Ending, Plan, play};
use crate::client::Client;
use crate::clock;
use crate::crowd::Habits;
use crate::modes::{LONG_DEADLINE, roomy};
use crate::oracle::{Rule, Violation};
use crate::report::Report;
use crate::weather::Weather;
use crate::world::{Settings, World};

/// How long an idle daemon may take to end (issue, done when 7).
const IDLE_EXIT_MAX: Duration = Duration::from_secs(1);
/// Ends of an idle daemon.
const IDLE_EXITS: usize = 3;
/// Time for everything that runs, and too little of it.
const DRAINS: [Duration; 2] = [Duration::from_secs(25), Duration::from_secs(1)];

/// Runs all of them.
pub(crate) async fn run(settings: &Settings, calls: usize, report: &mut Report) -> io::Result<()> {
    for drain in DRAINS {
        let mut variables = roomy(calls * 2, LONG_DEADLINE);
        variables.push(("EXAI_LIMITS__DRAIN_S", drain.as_secs().to_string()));
        let mut world = World::start(settings, &variables, None).await?;
        let plan = Plan {
            clients: calls + calls / 10,
            questions: usize::MAX,
            lasting: None,
            in_flight: Some(calls),
            ending: Ending::Term(drain),
            habits: Habits::default(),
            weather: Weather::Steady,
            trouble: None,
            panics: false,
            patience: drain + Duration::from_secs(30),
        };
        play(&mut world, plan, report).await?;
        report.fact(format!("SIGTERM amid at least {calls} calls, with a drain of {drain:?}"));
    }
    let mut longest = Duration::ZERO;
    let mut world = World::start(settings, &[], None).await?;
    for _ in 0..IDLE_EXITS {
        longest = longest.max(idle(&mut world, report).await?);
    }
    report.fact(format!(
        "an idle daemon with one client ended at the latest {:.3} s after SIGTERM",
        longest.as_secs_f64()
    ));
    if longest > IDLE_EXIT_MAX {
        let what = format!("idle, it took {longest:?} to end");
        report.broken(vec![Violation::new(Rule::Ended, "the daemon", what)], || world.daemon.tail(10));
    }
    Ok(())
}

async fn idle(world: &mut World, report: &mut Report) -> io::Result<Duration> {
    world.weather(Weather::Calm, 0);
    let mut client = Client::connect(world.daemon.mcp, false, &world.book).await?;
    let question = Question { tag: "idle;".to_owned(), keyed: false, model: "kimi-k2.6" };
    let answer = client.consult(&question, Kind::Chat, Expect::Text, Duration::from_secs(20)).await;
    let mut found = Vec::new();
    if !matches!(answer, Ok(Some(Answer::Text { .. }))) {
        found.push(Violation::new(Rule::OneAnswer, "idle", format!("a plain question got {answer:?}")));
    }
    let asked = clock::now();
    world.daemon.sigterm()?;
    let (code, exit) = tokio::join!(
        client.until_closed(Duration::from_secs(10)),
        world.daemon.exit(Duration::from_secs(10))
    );
    let took = clock::now().duration_since(asked);
    if code != Some(1001) || !matches!(exit, Ok(Some(0))) {
        found.push(Violation::new(Rule::Ended, "idle", format!("socket {code:?}, exit {exit:?}")));
    }
    report.broken(found, || world.daemon.tail(10));
    world.restart().await?;
    Ok(took)
}
