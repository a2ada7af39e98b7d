//! What a load needs around it: a daemon with limits that do not limit, a double of Kimi, and the database that was asked for.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use exai_upstream::{Make, Script, Upstream};

use crate::daemon::Daemon;
use crate::postgres::Postgres;

/// The model that is asked.
pub(crate) const MODEL: &str = "kimi-k2.6";
/// The most that the daemon's configuration lets its limits be.
const LIMITS: [(&str, &str); 6] = [
    ("EXAI_LIMITS__GLOBAL", "10000"),
    ("EXAI_LIMITS__PER_SESSION", "10000"),
    ("EXAI_LIMITS__BURST", "100000"),
    ("EXAI_LIMITS__REQUESTS_PER_SECOND", "100000"),
    ("EXAI_LIMITS__CONNECTIONS", "100000"),
    ("EXAI_PROVIDERS__KIMI__MAX_IN_FLIGHT", "10000"),
];

/// Where the daemon keeps its journal.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Db {
    /// A file of its own.
    Sqlite,
    /// A server of its own.
    Postgres,
}

/// When a write counts as durable.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// Once it survives a power cut.
    Power,
    /// Once it survives the end of the process.
    Process,
}

/// What is measured, and in which surroundings.
#[derive(Args, Clone)]
pub(crate) struct Setting {
    /// The binary to measure.
    #[arg(long)]
    pub(crate) exai: PathBuf,
    /// The database of the daemon.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) db: Db,
    /// When its writes count as durable.
    #[arg(long, value_enum, default_value = "power")]
    pub(crate) durability: Durability,
    /// `tests/support/postgres.sh`, for `--db postgres`.
    #[arg(long, default_value = "tests/support/postgres.sh")]
    pub(crate) postgres_script: PathBuf,
    /// What the double answers, in its own grammar.
    #[arg(long, default_value = "pace=0+think=0+tokens=20")]
    pub(crate) script: String,
    /// Further variables of the daemon's environment: `NAME=VALUE`, by commas.
    #[arg(long, value_delimiter = ',', value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
}

/// Everything that runs during a measurement.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) kimi: Upstream,
    /// What the times in the double's journal count from.
    pub(crate) double_since: Instant,
}

impl World {
    /// Starts a daemon and its double; `postgres` where the setting wants one.
    pub(crate) fn start(setting: &Setting, postgres: Option<&Postgres>) -> io::Result<Self> {
        let double_since = Instant::now();
        let kimi = Upstream::start(Make::Kimi)?;
        kimi.set_default(setting.script.parse::<Script>().map_err(io::Error::other)?);
        let durability = match setting.durability {
            Durability::Power => "power",
            Durability::Process => "process",
        };
        let mut variables: Vec<(&str, String)> =
            LIMITS.map(|(name, value)| (name, value.to_owned())).to_vec();
        variables.push(("EXAI_PROVIDERS__KIMI__BASE_URL", kimi.base_url()));
        variables.push(("EXAI_STORAGE__DURABILITY", durability.to_owned()));
        if let Some(postgres) = postgres {
            variables.push(("EXAI_STORAGE__URL", postgres.url.clone()));
        }
        variables.extend(setting.env.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let daemon = Daemon::start_with(&setting.exai, &variables)?;
        Ok(Self { daemon, kimi, double_since })
    }
}

impl Setting {
    /// The server that it wants.
    pub(crate) fn postgres(&self) -> io::Result<Option<Postgres>> {
        match self.db {
            Db::Sqlite => Ok(None),
            Db::Postgres => Postgres::start(&self.postgres_script).map(Some),
        }
    }

    /// Such as `SQLite, durability power`.
    pub(crate) fn storage(&self) -> String {
        let db = match self.db {
            Db::Sqlite => "SQLite",
            Db::Postgres => "Postgres",
        };
        let durability = match self.durability {
            Durability::Power => "power",
            Durability::Process => "process",
        };
        format!("{db}, durability {durability}")
    }
}

/// Reads `NAME=VALUE`.
pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
