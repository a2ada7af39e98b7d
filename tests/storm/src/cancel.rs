//! A cancel in every state that a call can be in, and how long the double's socket takes to close after it.

use std::io;
use std::time::Duration;

use exai_upstream::{Ended, Entry, Script, Upstream};

use crate::book::{Answer, Expect, Kind, Question};
use crate::client::{Client, Ended as Gone};
use crate::clock::{self, Instant};
use crate::modes::within;
use crate::oracle::{Rule, Violation, tag_of};
use crate::report::{Report, spread};
use crate::weather::Weather;
use crate::world::{Settings, World};

/// The slowest one in a hundred may take this long (promise P5).
const CLOSES_WITHIN: Duration = Duration::from_millis(100);
/// How long a call may take to be where it shall be cancelled.
const THERE_WITHIN: Duration = Duration::from_secs(10);
/// How long it is watched that nothing is sent after a cancel: longer than the wait that the upstream asks for.
const SILENCE: Duration = Duration::from_millis(2500);
/// Refusals whose retry is cancelled: fewer than open a breaker, with an answer after each.
const RETRIES_MAX: usize = 4;
/// Failures that open a breaker, and some more (DESIGN.md section 9: 5 in a row).
const FAILURES: usize = 12;
/// How long a breaker stays open at first, at most, and a little more.
const OPEN_MAX: Duration = Duration::from_secs(8);
const MODEL: &str = "kimi-k2.6";
const POLL: Duration = Duration::from_millis(1);

struct Stage<'a> {
    world: &'a World,
    client: Client,
    /// When the double started, at the latest: its times are counted from there.
    double_started: Instant,
}

/// Cancels in every state.
pub(crate) async fn run(settings: &Settings, samples: usize, report: &mut Report) -> io::Result<()> {
    let variables = [("EXAI_PROVIDERS__KIMI__MAX_IN_FLIGHT", "1".to_owned())];
    let mut world = World::start(settings, &variables, None).await?;
    let double_started = calibrate(&mut world).await?;
    for (state, script) in [
        ("dispatched", "delay=60000"),
        ("headers", "slow-headers=60000"),
        ("streaming", "tokens=9000+pace=20+think=0"),
    ] {
        let mut stage = Stage::new(&world, double_started).await?;
        let mut times = Vec::new();
        for _ in 0..samples {
            let Ok(time) = stage.under_way(script).await else { break };
            times.push(time);
        }
        judge(state, &mut times, samples, &world, report);
    }
    let mut stage = Stage::new(&world, double_started).await?;
    let found = stage.waiting(samples).await;
    judge_silent("waiting", found, &world, report);
    let mut stage = Stage::new(&world, double_started).await?;
    let found = stage.retrying(samples.min(RETRIES_MAX)).await;
    judge_silent("between attempts", found, &world, report);
    let mut times = Vec::new();
    let mut stage = Stage::new(&world, double_started).await?;
    match stage.half_open(samples, &mut times).await {
        Ok(true) => judge("half-open probe", &mut times, samples, &world, report),
        Ok(false) => {
            let what =
                format!("{FAILURES} failures in a row opened no breaker, so no probe could be cancelled");
            report.broken(vec![Violation::new(Rule::Cancelled, "half-open probe", what)], Vec::new);
        }
        Err(Gone) => report.broken(vec![gone("half-open probe")], || world.daemon.tail(10)),
    }
    report.broken(world.until_at_rest().await.into_iter().collect(), || world.daemon.tail(10));
    report.count(&world.book.turn_page());
    Ok(())
}

/// The moment from which the double counts, found by asking it something.
async fn calibrate(world: &mut World) -> io::Result<Instant> {
    world.weather(Weather::Calm, 0);
    let mut earliest: Option<Instant> = None;
    let mut client = Client::connect(world.daemon.mcp, false, &world.book).await?;
    for n in 0..20 {
        let question = Question { tag: format!("calibrate-{n};"), keyed: false, model: MODEL };
        // A request arrives before its answer: the moment is not later than this, and over many requests not much earlier.
        let asked = client.consult(&question, Kind::Chat, Expect::Text, THERE_WITHIN).await;
        let now = clock::now();
        let ended = world.kimi.journal().last().and_then(|entry| entry.ended_at_ms);
        if asked.is_ok()
            && let Some(started) = ended.and_then(|ended| now.checked_sub(Duration::from_millis(ended)))
        {
            earliest = Some(earliest.map_or(started, |earliest| earliest.min(started)));
        }
    }
    earliest.ok_or_else(|| io::Error::other("the double answered nothing"))
}

fn gone(state: &str) -> Violation {
    Violation::new(Rule::Cancelled, state, "the connection ended")
}

fn judge(state: &str, times: &mut [Duration], samples: usize, world: &World, report: &mut Report) {
    let mut found = Vec::new();
    if times.len() < samples {
        found.push(Violation::new(
            Rule::Cancelled,
            state,
            format!("only {} of {samples} calls could be cancelled there", times.len()),
        ));
    }
    let Some(line) = spread(times) else { return report.broken(found, || world.daemon.tail(10)) };
    report.fact(format!(
        "cancelled {state}: the upstream's socket closed after {line} ({} times)",
        times.len()
    ));
    if times.get(times.len() * 99 / 100).is_some_and(|time| *time > CLOSES_WITHIN) {
        found.push(Violation::new(Rule::Cancelled, state, format!("p99 above {CLOSES_WITHIN:?}: {line}")));
    }
    report.broken(found, || world.daemon.tail(10));
}

fn judge_silent(state: &str, found: Result<Vec<String>, Gone>, world: &World, report: &mut Report) {
    let found = match found {
        Ok(found) => found.into_iter().map(|what| Violation::new(Rule::Cancelled, state, what)).collect(),
        Err(Gone) => vec![gone(state)],
    };
    if found.is_empty() {
        report.fact(format!("cancelled {state}: nothing was sent afterwards"));
    }
    report.broken(found, || world.daemon.tail(10));
}

impl<'a> Stage<'a> {
    async fn new(world: &'a World, double_started: Instant) -> io::Result<Self> {
        world.kimi.clear_scripts();
        let client = Client::connect(world.daemon.mcp, false, &world.book).await?;
        Ok(Self { world, client, double_started })
    }

    fn double(&self) -> &Upstream {
        &self.world.kimi
    }

    async fn ask(&mut self, state: &str) -> Result<(usize, String), Gone> {
        let tag = format!("{state}-{}-{};", self.world.seed, self.world.book.asks().len());
        let question = Question { tag: tag.clone(), keyed: false, model: MODEL };
        Ok((self.client.ask(&question, Kind::Chat, Expect::Any).await?, tag))
    }

    async fn entry(&self, tag: &str, holds: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let wait = async {
            loop {
                if let Some(entry) =
                    self.double().journal().into_iter().rfind(|entry| tag_of(entry) == tag && holds(entry))
                {
                    return entry;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        within(THERE_WITHIN, wait).await
    }

    /// Cancels what is under way upstream; how long the double's socket took to close.
    async fn under_way(&mut self, script: &str) -> Result<Duration, Gone> {
        self.double().push_script(Script::of(script));
        let (ask, tag) = self.ask("under-way").await?;
        let arrived = if script.starts_with("tokens") { 1000 } else { 0 };
        self.entry(&tag, |entry| entry.sent_bytes >= arrived).await.ok_or(Gone)?;
        // Where it stands now, it stands for a while: a moment lets both sides see it.
        self.client.listen(Duration::from_millis(20)).await?;
        self.closes_after_cancel(ask, &tag).await
    }

    async fn closes_after_cancel(&mut self, ask: usize, tag: &str) -> Result<Duration, Gone> {
        let sent = clock::now();
        self.client.cancel(ask).await?;
        let closed = self.entry(tag, |entry| entry.ended == Ended::ClientClosed).await.ok_or(Gone)?;
        let at = self.double_started + Duration::from_millis(closed.ended_at_ms.unwrap_or(u64::MAX) + 1);
        self.client.listen(Duration::from_millis(5)).await?;
        Ok(at.saturating_duration_since(sent))
    }

    /// One call holds the provider's only place; those who wait for it are cancelled, and must never be sent.
    async fn waiting(&mut self, samples: usize) -> Result<Vec<String>, Gone> {
        self.double().push_script(Script::of("delay=60000"));
        let (holder, tag) = self.ask("holder").await?;
        self.entry(&tag, |_| true).await.ok_or(Gone)?;
        let mut tags = Vec::new();
        for _ in 0..samples {
            let (ask, tag) = self.ask("waiting").await?;
            self.client.listen(Duration::from_millis(10)).await?;
            self.client.cancel(ask).await?;
            tags.push(tag);
        }
        self.closes_after_cancel(holder, &tag).await?;
        self.client.listen(SILENCE).await?;
        Ok(self.sent_of(&tags, 0))
    }

    /// A refusal that asks for a wait is followed by one, and in it comes the cancel: the second attempt must never be sent.
    async fn retrying(&mut self, samples: usize) -> Result<Vec<String>, Gone> {
        let mut tags = Vec::new();
        let mut found = Vec::new();
        for _ in 0..samples {
            self.double().clear_scripts();
            self.double().push_script(Script::of("refuse=503+retry-after=1"));
            let (ask, tag) = self.ask("retrying").await?;
            self.entry(&tag, |entry| entry.ended != Ended::Running).await.ok_or(Gone)?;
            if self.client.answered(ask, Duration::from_millis(200)).await? {
                found.push(format!(
                    "{tag}: failed at once, so there was no wait between attempts to cancel in"
                ));
                continue;
            }
            self.client.cancel(ask).await?;
            tags.push(tag);
            self.client.listen(SILENCE).await?;
            self.double().set_default(Script::of("tokens=30+pace=0+think=0"));
            let (ask, _) = self.ask("between").await?;
            self.client.answered(ask, THERE_WITHIN).await?;
        }
        found.extend(self.sent_of(&tags, 1));
        Ok(found)
    }

    /// Opens the breaker, waits until a probe is let through, and cancels one probe after the other; false where nothing opened.
    async fn half_open(&mut self, samples: usize, times: &mut Vec<Duration>) -> Result<bool, Gone> {
        self.double().clear_scripts();
        self.double().set_default(Script::of("refuse=500"));
        let mut open = false;
        for _ in 0..FAILURES {
            let (ask, _) = self.ask("failing").await?;
            self.client.answered(ask, Duration::from_secs(30)).await?;
            open |= matches!(self.world.book.answer_to(ask), Some(Answer::Failed { kind, .. }) if kind == "breaker_open");
        }
        if !open {
            return Ok(false);
        }
        self.double().set_default(Script::of("delay=60000"));
        self.client.listen(OPEN_MAX).await?;
        for _ in 0..samples {
            let (ask, tag) = self.ask("probe").await?;
            if self.entry(&tag, |_| true).await.is_none() {
                break;
            }
            times.push(self.closes_after_cancel(ask, &tag).await?);
        }
        Ok(true)
    }

    /// Those of which more was sent than that.
    fn sent_of(&self, tags: &[String], allowed: usize) -> Vec<String> {
        let journal = self.double().journal();
        let sent = |tag: &&String| journal.iter().filter(|entry| tag_of(entry) == tag.as_str()).count();
        let more = tags.iter().filter(|tag| sent(tag) > allowed);
        more.map(|tag| format!("{tag}: {} requests upstream, cancelled before", sent(&tag))).collect()
    }
}
