//! `exai-bench`: measures a built EXAI from outside, through its real sockets. It prints figures and judges none: machines differ.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod client;
mod compare;
mod daemon;
mod drive;
mod frame;
mod idle;
mod isolation;
mod load;
mod postgres;
mod process;
mod session;
mod start;
mod streaming;
mod tally;
mod watchers;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use load::{Call, Shape};
use world::Setting;

/// Measures a built EXAI from outside.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Subcommand)]
enum Measure {
    /// From starting the process to the first answered `initialize`, and the memory of a server that idles.
    Start {
        /// The binary to measure.
        #[arg(long)]
        exai: PathBuf,
        /// How many times to start it; the median is told.
        #[arg(long, default_value_t = 11)]
        rounds: usize,
    },
    /// What trouble at one provider costs: a refusal while its breaker is open, its neighbour's calls while it hangs, pings beside
    /// a long answer.
    Isolation {
        /// The binary to measure.
        #[arg(long)]
        exai: PathBuf,
        /// Pairs of rounds, without and with a hung provider; the median of their ratios is told.
        #[arg(long, default_value_t = 7)]
        pairs: usize,
    },
    /// `chat` through everything: throughput, latency, CPU and memory.
    Load {
        #[command(flatten)]
        setting: Setting,
        #[command(flatten)]
        shape: Shape,
        /// Ask for progress.
        #[arg(long)]
        streaming: bool,
        /// Tell failed calls instead of failing for them.
        #[arg(long)]
        errors_ok: bool,
    },
    /// `tools/call` that needs no upstream.
    Tools {
        /// The binary to measure.
        #[arg(long)]
        exai: PathBuf,
        #[command(flatten)]
        shape: Shape,
    },
    /// Many answers that stream at once: how soon everybody hears, and that nothing is lost.
    Streaming {
        #[command(flatten)]
        setting: Setting,
        #[command(flatten)]
        plan: streaming::Plan,
    },
    /// Sessions that say nothing: bytes each, scrapes meanwhile, and what is given back when they go.
    Idle {
        /// The binary to measure.
        #[arg(long)]
        exai: PathBuf,
        #[command(flatten)]
        plan: idle::Plan,
    },
    /// Two binaries, or one in two environments, in turns: the ratios of throughput and of CPU per call.
    Compare {
        #[command(flatten)]
        setting: Setting,
        #[command(flatten)]
        plan: compare::Plan,
        #[command(flatten)]
        shape: Shape,
    },
}

fn main() -> ExitCode {
    // awc builds its TLS even for plain sockets, and asks for a provider. Another one may stand there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let measured = match Arguments::parse().measure {
        Measure::Start { exai, rounds } => start::measure(&exai, rounds.max(1)),
        Measure::Isolation { exai, pairs } => isolation::measure(&exai, pairs.max(1)),
        Measure::Load { setting, shape, streaming, errors_ok } => {
            load::measure(&setting, shape, Call::Chat { progress: streaming }, errors_ok)
        }
        Measure::Tools { exai, shape } => load::measure_tools(exai, shape),
        Measure::Streaming { setting, plan } => streaming::measure(setting, plan),
        Measure::Idle { exai, plan } => idle::measure(exai, plan),
        Measure::Compare { setting, plan, shape } => compare::measure(setting, plan, shape),
    };
    match measured {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
