//! `load` and `tools`: how many calls, how fast, at what price. The generator, the double and the server share the machine, and the CPU
//! of each is told beside the figures.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::drive::{Crowd, Until};
use crate::frame::Template;
use crate::session::Failed;
use crate::tally::{Meter, Tally, Used};
use crate::world::{Db, Durability, MODEL, Setting, World};

/// Calls are made for so long before any is counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long the server rests before its memory is read.
const REST: Duration = Duration::from_secs(1);

/// How the calls come.
#[derive(Args, Clone, Copy)]
pub(crate) struct Shape {
    /// Sessions.
    #[arg(long, default_value_t = 16)]
    pub(crate) sessions: usize,
    /// Calls that each session keeps in flight.
    #[arg(long, default_value_t = 4)]
    pub(crate) in_flight: usize,
    /// Calls of each session, at most.
    #[arg(long, default_value_t = u64::MAX)]
    pub(crate) calls: u64,
    /// How long calls are made, at most.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Calls a second of all sessions together, whatever the answers do; each is measured from when it was due. Instead of `in-flight`.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
}

/// What is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// `chat`, with progress or without.
    Chat { progress: bool },
    /// `version`, which needs no upstream.
    Version,
}

/// What came of it.
struct Measured {
    tally: Tally,
    used: Used,
    rss_before: u64,
    rss_after: u64,
}

/// Measures a load and tells it.
pub(crate) fn measure(
    setting: &Setting,
    shape: Shape,
    call: Call,
    errors_ok: bool,
) -> Result<String, Failed> {
    let postgres = setting.postgres()?;
    let world = World::start(setting, postgres.as_ref())?;
    let measured = on_one_thread(run(&world, shape, call))??;
    if measured.tally.failed() > 0 && !errors_ok {
        return Err(format!("calls failed: {}", measured.tally).into());
    }
    let name = match call {
        Call::Chat { progress: false } => "chat",
        Call::Chat { progress: true } => "chat with progress",
        Call::Version => "version",
    };
    Ok(format!("{name}, {}, {}:\n{}", shape.words(), setting.storage(), measured.words()))
}

/// `tools`: the same without an upstream.
pub(crate) fn measure_tools(exai: PathBuf, shape: Shape) -> Result<String, Failed> {
    measure(&Setting::plain(exai), shape, Call::Version, false)
}

/// Runs a future on this thread, with all that it spawns.
pub(crate) fn on_one_thread<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, future))
}

async fn run(world: &World, shape: Shape, call: Call) -> Result<Measured, Failed> {
    let server = world.daemon.process();
    let rss_before = server.rss_kib()?;
    let mut ready = Ready::warm_up(world, shape, call).await?;
    let meter = Meter::read(server)?;
    let tally = ready.go(Duration::from_secs_f64(shape.seconds)).await?;
    let used = meter.used(server)?;
    tokio::time::sleep(REST).await;
    Ok(Measured { tally, used, rss_before, rss_after: server.rss_kib()? })
}

/// Sessions that have called already.
pub(crate) struct Ready {
    crowd: Crowd,
    template: Template,
    shape: Shape,
}

impl Ready {
    /// Opens the sessions and lets them call for a moment, in the shape in which they go on.
    pub(crate) async fn warm_up(world: &World, shape: Shape, call: Call) -> Result<Self, Failed> {
        if shape.sessions == 0 || shape.in_flight == 0 || shape.rate.is_some_and(|rate| rate <= 0.0) {
            return Err("a load needs sessions, calls in flight and a rate above zero".into());
        }
        let template = match call {
            Call::Chat { progress } => Template::chat(MODEL, progress),
            Call::Version => Template::version(),
        };
        let crowd = Crowd::open(world.daemon.mcp, shape.sessions).await?;
        let mut ready = Self { crowd, template, shape };
        let warmed = ready.go(WARM_UP).await?;
        if warmed.answered == 0 {
            return Err(format!("nothing was answered while warming up: {warmed}").into());
        }
        Ok(ready)
    }

    /// Calls for so long, and waits for the last answers.
    pub(crate) async fn go(&mut self, time: Duration) -> Result<Tally, Failed> {
        let until = Until { at: Instant::now() + time, calls: self.shape.calls };
        match self.shape.rate {
            Some(rate) => self.crowd.open_loop(&self.template, rate, until).await,
            None => self.crowd.closed(&self.template, self.shape.in_flight, until).await,
        }
    }
}

impl Measured {
    fn words(&self) -> String {
        let mib = |kib: u64| kib as f64 / 1024.0;
        format!(
            "{} calls in {:.2} s, {:.0} a second; {}\n\
             server CPU {:.1} us per call; {}\n\
             RSS before {:.1} MiB, after {:.1} MiB; {} notifications",
            self.tally.answered,
            self.used.elapsed.as_secs_f64(),
            self.tally.answered as f64 / self.used.elapsed.as_secs_f64(),
            self.tally,
            self.used.server_us_per(self.tally.answered),
            self.used,
            mib(self.rss_before),
            mib(self.rss_after),
            self.tally.notices,
        )
    }
}

impl Shape {
    /// Such as `16 sessions, 4 calls in flight each`.
    pub(crate) fn words(self) -> String {
        match self.rate {
            Some(rate) => format!("{} sessions, {rate} calls due a second", self.sessions),
            None => format!("{} sessions, {} calls in flight each", self.sessions, self.in_flight),
        }
    }
}

impl Setting {
    /// One that keeps its journal as an installation does by default.
    pub(crate) fn plain(exai: PathBuf) -> Self {
        Self {
            exai,
            db: Db::Sqlite,
            durability: Durability::Power,
            postgres_script: PathBuf::new(),
            script: String::new(),
            env: Vec::new(),
        }
    }
}
