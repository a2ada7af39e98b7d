//! The storms that there are, each a row of chapters.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::task::LocalSet;

use crate::chapter::{Ending, Plan, play};
use crate::clock;
use crate::crowd::Habits;
use crate::oracle::{Rule, Violation};
use crate::report::Report;
use crate::trouble::{Disk, Trouble, What};
use crate::weather::Weather;
use crate::world::{Fault, Settings, Store, World};
use crate::{cancel, drain};

/// Questions of one chapter of `Calls`: so many are held in memory and judged at once.
const CHAPTER_QUESTIONS: usize = 5_000;
/// What the memory after the storm may be, in percent of what it was after the first chapter.
const RSS_PERCENT_MAX: u64 = 150;
/// The drain of a daemon that is told to end in a mixed storm.
const DRAIN: Duration = Duration::from_secs(10);
/// The call deadline of a daemon that shall show timeouts soon; of one whose database may be away for a while; and of one that is
/// killed before.
const SHORT_DEADLINE: Duration = Duration::from_secs(5);
const MIDDLE_DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const LONG_DEADLINE: Duration = Duration::from_secs(60);
/// Beyond its deadline, how long a call may take to be answered on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which storm.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// kill -9 amid `in_flight` upstream requests, `rounds` times.
    Kill {
        /// How often.
        rounds: usize,
        /// Upstream requests under way at each kill, at least.
        in_flight: usize,
    },
    /// `calls` calls of one life, with cancels, timeouts, disconnects and, where the binary can, panics.
    Calls {
        /// How many.
        calls: usize,
        /// Of how many clients at a time.
        clients: usize,
    },
    /// SIGTERM amid `calls` calls, with enough time and with too little; and an idle daemon's end.
    Drain {
        /// How many.
        calls: usize,
    },
    /// The database killed, frozen and, for a file, its disk full.
    Database,
    /// Everything, for about so long.
    All {
        /// How long.
        lasting: Duration,
    },
    /// A cancel in every state, `samples` times each.
    Cancel {
        /// How often.
        samples: usize,
    },
}

/// Runs a storm to its end. It blocks, and wants a thread without a runtime.
///
/// # Errors
/// When the storm itself cannot go on: the binary does not start, the database cannot be read.
pub fn storm(mode: Mode, settings: &Settings, say: impl FnMut(&str) + 'static) -> io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::new(say);
    report.say(&format!("seed {}", settings.seed));
    let whole = async { within(settings.deadline, run(mode, settings, &mut report)).await };
    match runtime.block_on(LocalSet::new().run_until(whole)) {
        Some(ran) => ran?,
        None => {
            let what = format!("the storm did not end within {:?}", settings.deadline);
            report.broken(vec![Violation::new(Rule::OneAnswer, "the storm", what)], Vec::new);
        }
    }
    Ok(report)
}

async fn run(mode: Mode, settings: &Settings, report: &mut Report) -> io::Result<()> {
    match mode {
        Mode::Kill { rounds, in_flight } => kill(settings, rounds, in_flight, report).await,
        Mode::Calls { calls, clients } => calls_of_one_life(settings, calls, clients, report).await,
        Mode::Drain { calls } => drain::run(settings, calls, report).await,
        Mode::Database => database(settings, report).await,
        Mode::All { lasting } => all(settings, lasting, report).await,
        Mode::Cancel { samples } => cancel::run(settings, samples, report).await,
    }
}

/// The variables of a daemon that lets so many calls run at the same time, all providers together.
pub(crate) fn roomy(calls: usize, deadline: Duration) -> Vec<(&'static str, String)> {
    let of_one = calls.div_ceil(2).to_string();
    vec![
        ("EXAI_LIMITS__GLOBAL", calls.to_string()),
        ("EXAI_LIMITS__PER_SESSION", calls.to_string()),
        ("EXAI_PROVIDERS__KIMI__MAX_IN_FLIGHT", of_one.clone()),
        ("EXAI_PROVIDERS__GLM__MAX_IN_FLIGHT", of_one),
        ("EXAI_LIMITS__DEADLINE_S", deadline.as_secs().to_string()),
    ]
}

impl Plan {
    /// A chapter of that many clients, with everything that the settings do not leave out.
    fn of(settings: &Settings, clients: usize, weather: Weather, ending: Ending) -> Self {
        let habits = if settings.with(Fault::Clients) { Habits::MIXED } else { Habits::default() };
        let weather = if settings.with(Fault::Upstream) { weather } else { weather.without_failures() };
        Self {
            clients,
            questions: usize::MAX,
            lasting: None,
            in_flight: None,
            ending,
            habits,
            weather,
            trouble: None,
            panics: false,
            patience: LONG_DEADLINE + PATIENCE,
        }
    }
}

async fn kill(settings: &Settings, rounds: usize, in_flight: usize, report: &mut Report) -> io::Result<()> {
    // Less room than callers, so that a kill meets some of them waiting; more than what shall be under way.
    let mut world = World::start(settings, &roomy(in_flight + in_flight / 5, LONG_DEADLINE), None).await?;
    for round in 1..=rounds {
        report.say(&format!("round {round} of {rounds}"));
        let plan = Plan::of(settings, in_flight + in_flight / 2, Weather::Slow, Ending::Kill);
        play(&mut world, Plan { in_flight: Some(in_flight), ..plan }, report).await?;
    }
    report
        .fact(format!("{rounds} kills amid at least {in_flight} upstream requests, on {:?}", settings.store));
    Ok(())
}

async fn calls_of_one_life(
    settings: &Settings,
    calls: usize,
    clients: usize,
    report: &mut Report,
) -> io::Result<()> {
    let mut world = World::start(settings, &roomy(clients, SHORT_DEADLINE), None).await?;
    let (began, mut left, mut warm) = (clock::now(), calls, None);
    while left > 0 {
        let questions = left.min(CHAPTER_QUESTIONS);
        left -= questions;
        let plan = Plan::of(settings, clients, Weather::Rough, Ending::Rest);
        let panics = settings.with(Fault::Panics);
        let patience = SHORT_DEADLINE + PATIENCE;
        play(&mut world, Plan { questions, panics, patience, ..plan }, report).await?;
        let rss = world.daemon.rss_kib()?;
        report.say(&format!("{} calls, {} MiB", calls - left, rss / 1024));
        warm = warm.or(Some(rss));
    }
    let (rss, warm) = (world.daemon.rss_kib()?, warm.unwrap_or(1).max(1));
    let took = clock::now().duration_since(began).as_secs_f64();
    report.fact(format!(
        "{calls} calls in {took:.1} s; memory {} MiB after the first {CHAPTER_QUESTIONS}, {} MiB at the end",
        warm / 1024,
        rss / 1024
    ));
    if rss * 100 > warm * RSS_PERCENT_MAX {
        let what = format!("its memory grew from {warm} KiB to {rss} KiB, beyond {RSS_PERCENT_MAX} %");
        report.broken(vec![Violation::new(Rule::AtRest, "the daemon", what)], Vec::new);
    }
    Ok(())
}

async fn database(settings: &Settings, report: &mut Report) -> io::Result<()> {
    let troubles = match settings.store {
        Store::Postgres => vec![What::Killed, What::Frozen, What::Killed],
        Store::Sqlite => Vec::new(),
    };
    if !troubles.is_empty() {
        let mut world = World::start(settings, &roomy(64, MIDDLE_DEADLINE), None).await?;
        for what in troubles {
            troubled(&mut world, settings, what, report).await?;
        }
    }
    let Some(disk) = Disk::mount()? else {
        report.fact("LEFT OUT: a full disk; only root may mount a small one".to_owned());
        return Ok(());
    };
    let on_disk = Settings { store: Store::Sqlite, ..settings.clone() };
    let mut world = World::start(&on_disk, &roomy(64, MIDDLE_DEADLINE), Some(disk.path())).await?;
    for _ in 0..2 {
        troubled(&mut world, &on_disk, What::DiskFull(disk.path().to_owned()), report).await?;
    }
    drop(world);
    Ok(())
}

/// One misfortune in the middle of a chapter that goes on after it, and one in front of a kill.
async fn troubled(world: &mut World, settings: &Settings, what: What, report: &mut Report) -> io::Result<()> {
    for ending in [Ending::Rest, Ending::Kill] {
        let lasts = Duration::from_millis(world.rng.u64(1500..4000));
        let trouble = Trouble { after: Duration::from_secs(1), lasts, what: what.clone() };
        // Time before it, and time in which the service shows that it has resumed.
        let lasting = Some(trouble.after + lasts + Duration::from_secs(2));
        let plan = Plan::of(settings, 48, Weather::Slow, ending);
        play(world, Plan { lasting, trouble: Some(trouble), ..plan }, report).await?;
    }
    Ok(())
}

async fn all(settings: &Settings, lasting: Duration, report: &mut Report) -> io::Result<()> {
    const CLIENTS: usize = 40;
    let mut variables = roomy(CLIENTS, SHORT_DEADLINE);
    variables.push(("EXAI_LIMITS__DRAIN_S", DRAIN.as_secs().to_string()));
    let mut world = World::start(settings, &variables, None).await?;
    let began = clock::now();
    let mut endings = vec![Ending::Rest];
    endings.extend(settings.with(Fault::Kill).then_some(Ending::Kill));
    endings.extend(settings.with(Fault::Term).then_some(Ending::Term(DRAIN)));
    for turn in 0.. {
        // Each ending once, then as it comes.
        if turn >= endings.len() && clock::now().duration_since(began) >= lasting {
            break;
        }
        let turn = if turn < endings.len() { turn } else { world.rng.usize(..endings.len()) };
        let ending = endings[turn];
        let weather = if world.rng.bool() { Weather::Stormy } else { Weather::Rough };
        report.say(&format!("chapter {}: {weather:?}, {ending:?}", world.chapters + 1));
        let plan = Plan::of(settings, CLIENTS, weather, ending);
        let stretch = Some(Duration::from_millis(world.rng.u64(1000..2500)));
        // In seconds there are more calls than memory wants to hold.
        let panics = settings.with(Fault::Panics) && ending == Ending::Rest;
        play(&mut world, Plan { lasting: stretch, questions: CHAPTER_QUESTIONS * 4, panics, ..plan }, report)
            .await?;
    }
    report.fact(format!("{} chapters, on {:?}", world.chapters, settings.store));
    Ok(())
}

/// What a future gives, or nothing when it takes too long.
pub(crate) async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, work).await.ok()
}
