//! `exai chaos`: a short storm over this very binary, with doubles of Kimi and GLM and a database that goes away afterwards. It needs
//! no key and sends nothing to the outside.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use exai_storm::{Fault, Mode, Settings, Store, storm};

use super::args::Chaos;
use super::{Failure, output};

/// Beyond the time asked for: the chapter in hand is played to its end, and everything gets its answer.
const GRACE: Duration = Duration::from_secs(180);

/// Storms, and says which promises were kept.
pub(super) fn run(chaos: &Chaos) -> Result<ExitCode, Failure> {
    let exai = std::env::current_exe().map_err(Failure::of)?;
    let seed = match chaos.seed {
        Some(seed) => seed,
        None => u64::from(getrandom::u32().map_err(Failure::of)?),
    };
    let lasting = Duration::from_secs(chaos.seconds);
    let settings = Settings {
        exai,
        seed,
        store: Store::Sqlite,
        postgres_script: PathBuf::new(),
        journal: None,
        deadline: lasting + GRACE,
        without: vec![Fault::Panics],
    };
    output::note("a storm of kills, drains, rude clients and bad upstreams; nothing leaves this machine");
    let mut report =
        storm(Mode::All { lasting }, &settings, |line| output::note(line)).map_err(Failure::of)?;
    let again = format!("exai chaos --seconds {} --seed {seed}", chaos.seconds);
    output::say(report.summary(seed, &again))?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
