//! `start`: how long until the first client is answered, and how much memory a server that idles holds.

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::session::Session;

/// How long the server idles before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Measures `rounds` starts.
pub(crate) fn measure(exai: &Path, rounds: usize) -> Result<String, Box<dyn Error>> {
    let (mut starts, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        let daemon = Daemon::start(exai)?;
        actix_rt::System::new().block_on(Session::open(daemon.mcp))?;
        starts.push(started.elapsed());
        thread::sleep(IDLE);
        idle.push(daemon.process().rss_kib()?);
    }
    starts.sort_unstable();
    idle.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let mib = |kib: u64| kib as f64 / 1024.0;
    Ok(format!(
        "start to first answered initialize: median {:.1} ms, max {:.1} ms\n\
         idle memory (RSS) after {} s: median {:.1} MiB, max {:.1} MiB\n\
         {rounds} rounds, SQLite made anew each time, the client on the same machine",
        millis(starts[rounds / 2]),
        millis(starts[rounds - 1]),
        IDLE.as_secs(),
        mib(idle[rounds / 2]),
        mib(idle[rounds - 1]),
    ))
}
