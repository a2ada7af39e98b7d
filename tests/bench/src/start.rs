//! `start`: how long until the first client is answered, and how much memory a server that idles holds.

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use awc::ws::{Frame, Message};
use futures_util::{SinkExt, StreamExt};

use crate::daemon::{Daemon, TOKEN};

/// How long the server idles before its memory is read.
const IDLE: Duration = Duration::from_secs(2);
/// How long an answer may take before the measurement is given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"exai-bench","version":"1"}}}"#;

/// Measures `rounds` starts.
pub(crate) fn measure(exai: &Path, rounds: usize) -> Result<String, Box<dyn Error>> {
    let (mut starts, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        let daemon = Daemon::start(exai)?;
        actix_rt::System::new().block_on(initialize(&daemon.mcp))?;
        starts.push(started.elapsed());
        thread::sleep(IDLE);
        idle.push(daemon.rss_kib()?);
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

async fn initialize(mcp: &str) -> Result<(), Box<dyn Error>> {
    let connect = awc::Client::new().ws(format!("ws://{mcp}/mcp")).bearer_auth(TOKEN).connect();
    let (_, mut socket) = connect.await.map_err(|error| error.to_string())?;
    socket.send(Message::Text(INITIALIZE.into())).await?;
    let answer = tokio::time::timeout(ANSWER_WITHIN, socket.next()).await?;
    match answer {
        Some(Ok(Frame::Text(text))) if text.windows(8).any(|window| window == b"\"result\"") => Ok(()),
        other => Err(format!("initialize was not answered: {other:?}").into()),
    }
}
