//! `idle`: what sessions cost that say nothing but pongs, how fast the server is scraped meanwhile, and what it gives back when they go.
//! What is beyond a bound is a failure, once everything has been measured.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::{JoinSet, spawn_local};

use crate::client::{Client, Inbox};
use crate::daemon::TOKEN;
use crate::frame::FIRST_ID;
use crate::load::on_one_thread;
use crate::process::{self, Process};
use crate::session::Failed;
use crate::tally::{Meter, Tally};
use crate::world::{Setting, World};

/// Sessions that are opened at once.
const OPENING: usize = 64;
/// Descriptors of a process beside its sessions.
const SPARE: u64 = 200;
/// Between two scrapes.
const SCRAPE_EVERY: Duration = Duration::from_millis(20);
/// Descriptors that may come and go beside the sessions: the database's.
const DATABASE_FILES: usize = 8;
/// How long the server may take to let the last one go.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// How many, and for how long.
#[derive(Args, Clone, Copy)]
pub(crate) struct Plan {
    /// Sessions at once.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Seconds before memory is read, each time.
    #[arg(long, default_value_t = 5.0)]
    settle: f64,
    /// Scrapes while they idle.
    #[arg(long, default_value_t = 500)]
    scrapes: usize,
    /// How often such a crowd comes and goes: what the first one leaves behind, the next one should find and use.
    #[arg(long, default_value_t = 2)]
    waves: usize,
    #[command(flatten)]
    bounds: Bounds,
}

/// What a wave may cost.
#[derive(Args, Clone, Copy)]
struct Bounds {
    /// Bytes of a session, at most. What a crowd costs however large it is, about 10 MiB once, weighs more in a small one.
    #[arg(long, default_value_t = 16 * 1024)]
    session_bytes_max: u64,
    /// Milliseconds that 99 of 100 scrapes take, at most.
    #[arg(long, default_value_t = 20.0)]
    scrape_p99_ms_max: f64,
    /// MiB that the server holds more after a wave than before it, at most.
    #[arg(long, default_value_t = 20)]
    kept_mib_max: u64,
}

/// Measures all of it.
pub(crate) fn measure(exai: PathBuf, plan: Plan) -> Result<String, Failed> {
    // The daemon inherits the same.
    let allowed = process::raise_descriptors();
    if (plan.sessions as u64).saturating_add(SPARE) > allowed {
        return Err(
            format!("{} sessions need more than the {allowed} descriptors allowed", plan.sessions).into()
        );
    }
    let world = World::start(&Setting::plain(exai), None)?;
    let (mut told, mut broken) = (Vec::new(), Vec::new());
    for wave in 1..=plan.waves {
        // A runtime of its own: when it goes, so do its sessions, without a word.
        let idled = on_one_thread(idle(&world, plan))??;
        let gone = gone(world.daemon.process(), &idled, plan.settle)?;
        told.push(format!("wave {wave}: {}\n  {}", idled.words, gone.words));
        broken.extend(plan.bounds.broken(&idled, &gone).map(|bound| format!("wave {wave}: {bound}")));
    }
    let told = told.join("\n");
    if broken.is_empty() { Ok(told) } else { Err(format!("{}\n{told}", broken.join("\n")).into()) }
}

impl Bounds {
    /// Which of them a wave has broken.
    fn broken(self, idled: &Idled, gone: &Gone) -> impl Iterator<Item = String> + use<> {
        let kept_kib = gone.rss_kib.saturating_sub(idled.rss_before_kib);
        let left = gone.descriptors.saturating_sub(idled.descriptors_before);
        let of = |is_broken: bool, bound: String| is_broken.then_some(bound);
        let (bytes_max, mib_max) = (self.session_bytes_max, self.kept_mib_max);
        [
            of(idled.each_bytes > bytes_max as f64, format!("a session costs more than {bytes_max} bytes")),
            of(
                idled.scrape_p99_ms > self.scrape_p99_ms_max,
                format!("one scrape in a hundred takes more than {} ms", self.scrape_p99_ms_max),
            ),
            of(idled.scrapes_failed > 0, format!("{} scrapes failed", idled.scrapes_failed)),
            of(kept_kib > mib_max * 1024, format!("more than {mib_max} MiB are not given back")),
            of(left > DATABASE_FILES, format!("{left} descriptors are not given back")),
        ]
        .into_iter()
        .flatten()
    }
}

/// A wave while it idled.
struct Idled {
    words: String,
    rss_before_kib: u64,
    descriptors_before: usize,
    each_bytes: f64,
    scrape_p99_ms: f64,
    scrapes_failed: u64,
}

/// The server when a wave has gone.
struct Gone {
    words: String,
    rss_kib: u64,
    descriptors: usize,
}

async fn idle(world: &World, plan: Plan) -> Result<Idled, Failed> {
    let server = world.daemon.process();
    let settle = Duration::from_secs_f64(plan.settle);
    tokio::time::sleep(settle).await;
    let (rss_before, descriptors_before) = (server.rss_kib()?, server.descriptors()?);
    let opening = Instant::now();
    let lost = Rc::new(Cell::new(0_usize));
    open(world, plan.sessions, &lost).await?;
    let opened = opening.elapsed();
    tokio::time::sleep(settle).await;
    let rss_with = server.rss_kib()?;
    let meter = Meter::read(server)?;
    let (scraped, scrapes) = scrape(world, plan.scrapes).await?;
    let used = meter.used(server)?;
    if lost.get() > 0 {
        return Err(format!("{} idle sessions were lost", lost.get()).into());
    }
    let each = (rss_with as f64 - rss_before as f64) * 1024.0 / plan.sessions.max(1) as f64;
    let words = format!(
        "{} idle sessions opened in {:.1} s: {each:.0} bytes each (RSS {:.1} -> {:.1} MiB after {} s); descriptors {descriptors_before} -> {}; {scraped} {scrapes}; {used}",
        plan.sessions,
        opened.as_secs_f64(),
        mib(rss_before),
        mib(rss_with),
        plan.settle,
        server.descriptors()?,
    );
    Ok(Idled {
        words,
        rss_before_kib: rss_before,
        descriptors_before,
        each_bytes: each,
        scrape_p99_ms: scrapes.p99().as_secs_f64() * 1e3,
        scrapes_failed: scrapes.failed(),
    })
}

/// Opens them, and leaves each with a task that answers its pings.
async fn open(world: &World, sessions: usize, lost: &Rc<Cell<usize>>) -> Result<(), Failed> {
    let (mut opening, mut begun) = (JoinSet::new(), 0);
    while begun < sessions || !opening.is_empty() {
        while begun < sessions && opening.len() < OPENING {
            opening.spawn_local(Client::open(world.daemon.mcp, FIRST_ID));
            begun += 1;
        }
        let Some(opened) = opening.join_next().await else { break };
        let (client, inbox) = opened??;
        let lost = Rc::clone(lost);
        spawn_local(async move {
            // It goes on until its runtime ends, unless the server ends it before.
            if rest(&client, inbox).await.is_err() {
                lost.set(lost.get() + 1);
            }
        });
    }
    Ok(())
}

async fn rest(client: &Client, mut inbox: Inbox) -> std::io::Result<()> {
    loop {
        client.fill(&mut inbox).await?;
        while client.next(&mut inbox)?.is_some() {}
        client.flush().await?;
    }
}

/// Asks again and again on a connection that is kept, as Prometheus does: for the metrics, and where there are none for the health.
async fn scrape(world: &World, times: usize) -> Result<(String, Tally), Failed> {
    let client = awc::Client::new();
    let get =
        |path: &str| client.get(format!("http://{}{path}", world.daemon.dashboard)).bearer_auth(TOKEN).send();
    let first = get("/metrics").await.map_err(|error| error.to_string())?;
    let path = if first.status().as_u16() == 200 { "/metrics" } else { "/health" };
    drop(first);
    let (mut tally, mut bytes) = (Tally::new()?, 0);
    for _ in 0..times {
        let asked = Instant::now();
        let mut answer = get(path).await.map_err(|error| error.to_string())?;
        bytes = answer.body().await?.len();
        let failure = (answer.status().as_u16() != 200).then(|| answer.status().to_string());
        tally.answer(asked.elapsed(), failure.as_deref());
        tokio::time::sleep(SCRAPE_EVERY).await;
    }
    Ok((format!("GET {path} ({bytes} bytes)"), tally))
}

/// Waits for the descriptors to be back, and says what is.
fn gone(server: Process, idled: &Idled, settle: f64) -> Result<Gone, Failed> {
    let left = Instant::now();
    while server.descriptors()? > idled.descriptors_before + DATABASE_FILES && left.elapsed() < GONE_WITHIN {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (descriptors, took) = (server.descriptors()?, left.elapsed());
    std::thread::sleep(Duration::from_secs_f64(settle));
    let rss_kib = server.rss_kib()?;
    let words = format!(
        "after they are gone: descriptors {descriptors} within {:.1} s, RSS {:.1} MiB after {settle} s more",
        took.as_secs_f64(),
        mib(rss_kib),
    );
    Ok(Gone { words, rss_kib, descriptors })
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
