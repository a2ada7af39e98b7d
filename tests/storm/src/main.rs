//! `storm`: storms a built EXAI and says which promises it broke; exit code 1 when there were some.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use exai_storm::{Fault, Mode, Settings, Store, storm};

/// Storms a built EXAI: seeded faults, and an oracle over what clients, upstreams and the database hold.
#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    storm: Storm,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// The binary to storm
    #[arg(long, global = true, default_value = "exai")]
    exai: PathBuf,
    /// What everything random is drawn from; else a new one
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// The database
    #[arg(long, global = true, value_enum, default_value = "sqlite")]
    db: Store,
    /// Where the functions are that start, stop and freeze a private Postgres
    #[arg(long, global = true, default_value = "tests/support/postgres.sh")]
    postgres_script: PathBuf,
    /// Append the clients' journal to this file
    #[arg(long, global = true, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How long the whole storm may take
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 3600)]
    deadline: u64,
    /// What to leave out
    #[arg(long, global = true, value_enum, value_delimiter = ',')]
    without: Vec<Fault>,
}

#[derive(Subcommand)]
enum Storm {
    /// kill -9 amid many calls, again and again
    Kill {
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Upstream requests under way at each kill
        #[arg(long, default_value_t = 200)]
        in_flight: usize,
    },
    /// One life with cancels, timeouts, disconnects and panics
    Calls {
        #[arg(long, default_value_t = 10_000)]
        calls: usize,
        #[arg(long, default_value_t = 64)]
        clients: usize,
    },
    /// SIGTERM amid many calls, and of an idle daemon
    Drain {
        #[arg(long, default_value_t = 200)]
        calls: usize,
    },
    /// The database killed, frozen and started again; the disk full
    Database,
    /// Everything, for a while
    All {
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// A cancel in every state
    Cancel {
        #[arg(long, default_value_t = 30)]
        samples: usize,
    },
}

fn main() -> ExitCode {
    let Line { storm: which, common } = Line::parse();
    let mode = match which {
        Storm::Kill { rounds, in_flight } => Mode::Kill { rounds, in_flight },
        Storm::Calls { calls, clients } => Mode::Calls { calls, clients: clients.max(1) },
        Storm::Drain { calls } => Mode::Drain { calls },
        Storm::Database => Mode::Database,
        Storm::All { seconds } => Mode::All { lasting: Duration::from_secs(seconds) },
        Storm::Cancel { samples } => Mode::Cancel { samples: samples.max(1) },
    };
    let seed = common.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let Ok(exai) = common.exai.canonicalize() else {
        eprintln!("error: there is no binary at {}; build one and name it by --exai", common.exai.display());
        return ExitCode::FAILURE;
    };
    let settings = Settings {
        exai,
        seed,
        store: common.db,
        postgres_script: common.postgres_script,
        journal: common.journal,
        deadline: Duration::from_secs(common.deadline),
        without: common.without,
    };
    match storm(mode, &settings, |line| println!("{line}")) {
        Ok(mut report) => {
            println!("{}", report.summary(seed, &replay(seed, common.seed.is_some())));
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}\nseed {seed}; again with: {}", replay(seed, common.seed.is_some()));
            ExitCode::FAILURE
        }
    }
}

/// This command line, with the seed.
fn replay(seed: u64, has_seed: bool) -> String {
    let mut line = std::env::args().collect::<Vec<_>>().join(" ");
    if !has_seed {
        line.push_str(&format!(" --seed {seed}"));
    }
    line
}
