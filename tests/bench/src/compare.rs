//! `compare`: two variants of the server in turns, because a machine that others use too is never the same twice. Each pair starts both
//! anew and loads one and the other by short slices, so that a slow change of the machine meets both; what is told are the ratios within
//! pairs, and their spread. The same binary against itself shows how small a difference can be seen.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::load::{Call, Ready, Shape, on_one_thread};
use crate::postgres::Postgres;
use crate::session::Failed;
use crate::watchers::Watchers;
use crate::world::{Db, Durability, Setting, World, variable};

/// How long one of the two is loaded before the other one has its turn.
const SLICE: Duration = Duration::from_millis(250);

/// How long the servers rest before their CPU is read.
const REST: Duration = Duration::from_millis(500);

/// What the second variant has instead of what the first one has.
#[derive(Args)]
pub(crate) struct Plan {
    /// The binary of the second variant; without it the same one.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Further variables of the first variant alone: `NAME=VALUE`, by commas.
    #[arg(long, value_delimiter = ',', value_parser = variable)]
    env_a: Vec<(String, String)>,
    /// Further variables of the second variant alone.
    #[arg(long, value_delimiter = ',', value_parser = variable)]
    env_b: Vec<(String, String)>,
    /// The database of the second variant, where it is another.
    #[arg(long, value_enum)]
    db_b: Option<Db>,
    /// The durability of the second variant, where it is another.
    #[arg(long, value_enum)]
    durability_b: Option<Durability>,
    /// Browsers that watch the second variant's dashboard.
    #[arg(long, default_value_t = 0)]
    watchers_b: usize,
    /// Pairs of rounds.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// What is called.
    #[arg(long, value_enum, default_value = "chat")]
    call: Called,
}

/// What a comparison calls.
#[derive(Clone, Copy, ValueEnum)]
enum Called {
    /// `chat`, through everything.
    Chat,
    /// `version`, which needs no upstream.
    Version,
}

struct Variant {
    setting: Setting,
    postgres: Option<Postgres>,
}

/// Measures the pairs and tells their ratios: the first variant over the second.
pub(crate) fn measure(setting: Setting, plan: Plan, shape: Shape) -> Result<String, Failed> {
    let call = match plan.call {
        Called::Chat => Call::Chat { progress: false },
        Called::Version => Call::Version,
    };
    let mut first = setting.clone();
    first.env.extend(plan.env_a);
    let mut second = setting;
    second.env.extend(plan.env_b);
    second.exai = plan.against.unwrap_or(second.exai);
    second.db = plan.db_b.unwrap_or(second.db);
    second.durability = plan.durability_b.unwrap_or(second.durability);
    let (first, second) = (Variant::new(first)?, Variant::new(second)?);
    let pairs = plan.pairs.max(1);
    let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
    let (mut lines, mut a_all, mut b_all) = (Vec::new(), Vec::new(), Vec::new());
    let (mut watched, mut more) = (0, Vec::new());
    for _ in 0..pairs {
        let (a, b) = (first.start()?, second.start()?);
        let watchers = Watchers::open(b.daemon.dashboard, plan.watchers_b)?;
        let (a, b) = on_one_thread(in_turns(&a, &b, shape, call))??;
        watched += watchers.close()?;
        throughput.push(a.throughput() / b.throughput());
        cpu.push(a.cpu_us() / b.cpu_us());
        a_all.push(a.throughput());
        b_all.push(b.throughput());
        more.push(b.more_than(&a));
        lines.push(format!("  {} | {}", a.short(), b.short()));
    }
    Ok(format!(
        "A: {}\nB: {}\n{}; {pairs} pairs, A | B:\n{}\n\
         A / B: throughput {}; CPU per call {}\nmedian calls a second: A {:.0}, B {:.0}\n\
         beside its calls B used {:.2} % of a core more (median); {} browsers at B read {:.1} MiB",
        first.words(),
        second.words(),
        shape.words(),
        lines.join("\n"),
        spread(throughput),
        spread(cpu),
        median(&mut a_all),
        median(&mut b_all),
        median(&mut more),
        plan.watchers_b,
        watched as f64 / 1_048_576.0,
    ))
}

impl Variant {
    fn new(setting: Setting) -> Result<Self, Failed> {
        let postgres = setting.postgres()?;
        Ok(Self { setting, postgres })
    }

    fn start(&self) -> io::Result<World> {
        World::start(&self.setting, self.postgres.as_ref())
    }

    fn words(&self) -> String {
        let mut words = format!("{}, {}", self.setting.exai.display(), self.setting.storage());
        for (name, value) in &self.setting.env {
            words.push_str(&format!(", {name}={value}"));
        }
        words
    }
}

/// One of two that are loaded in turns.
struct Side {
    ready: Ready,
    answered: u64,
    elapsed: Duration,
    cpu: Duration,
}

/// Loads both for the shape's seconds each, and waits for every answer before the other one has its turn.
async fn in_turns(a: &World, b: &World, shape: Shape, call: Call) -> Result<(Side, Side), Failed> {
    let (mut first, mut second) =
        (Side::warm_up(a, shape, call).await?, Side::warm_up(b, shape, call).await?);
    let (a, b) = (a.daemon.process(), b.daemon.process());
    // Who waits uses next to nothing, and the kernel's ticks are too coarse for a slice: the CPU is read over all of them.
    // What a server still does after its last answer is part of the price, whoever came last.
    tokio::time::sleep(REST).await;
    let before = (a.cpu()?, b.cpu()?);
    while first.elapsed.as_secs_f64() < shape.seconds {
        // The one that was last is first the next time, so that neither always follows the other.
        first.slice().await?;
        second.slice().await?;
        second.slice().await?;
        first.slice().await?;
    }
    tokio::time::sleep(REST).await;
    first.cpu = a.cpu()?.saturating_sub(before.0);
    second.cpu = b.cpu()?.saturating_sub(before.1);
    Ok((first, second))
}

impl Side {
    async fn warm_up(world: &World, shape: Shape, call: Call) -> Result<Self, Failed> {
        let ready = Ready::warm_up(world, shape, call).await?;
        Ok(Self { ready, answered: 0, elapsed: Duration::ZERO, cpu: Duration::ZERO })
    }

    async fn slice(&mut self) -> Result<(), Failed> {
        let start = Instant::now();
        let tally = self.ready.go(SLICE).await?;
        if tally.failed() > 0 {
            return Err(format!("calls failed: {tally}").into());
        }
        self.elapsed += start.elapsed();
        self.answered += tally.answered;
        Ok(())
    }

    fn throughput(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answered.max(1) as f64
    }

    /// The CPU beyond what as many calls cost the other one, in percent of a core over the time of both: what goes on whoever calls.
    fn more_than(&self, other: &Self) -> f64 {
        let calls = other.cpu_us() * self.answered as f64 / 1e6;
        100.0 * (self.cpu.as_secs_f64() - calls) / (self.elapsed + other.elapsed).as_secs_f64()
    }

    fn short(&self) -> String {
        let share = 100.0 * self.cpu.as_secs_f64() / self.elapsed.as_secs_f64();
        format!("{:.0} a second, {:.1} us, {share:.0} % of a core", self.throughput(), self.cpu_us())
    }
}

/// The median and how far the ratios lie apart: half of them within the middle two numbers, all within the outer ones.
fn spread(mut ratios: Vec<f64>) -> String {
    let middle = median(&mut ratios);
    let last = ratios.len() - 1;
    let (low, high) = (ratios[last / 4], ratios[last - last / 4]);
    format!("median {middle:.3} ({:.3} .. [{low:.3} .. {high:.3}] .. {:.3})", ratios[0], ratios[last])
}

/// Sorts them; of an even number it is the mean of the middle two.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    f64::midpoint(values[last / 2], values[last - last / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_names_the_middle_and_the_ends() {
        assert_eq!(spread(vec![1.0]), "median 1.000 (1.000 .. [1.000 .. 1.000] .. 1.000)");
        let seven = vec![7.0, 1.0, 6.0, 2.0, 5.0, 3.0, 4.0];
        assert_eq!(spread(seven), "median 4.000 (1.000 .. [2.000 .. 6.000] .. 7.000)");
        assert_eq!(median(&mut [4.0, 1.0]), 2.5);
    }
}
