//! The counters, held to the last call against everything else when all is at rest: `exai audit` holds them against the journal and the
//! rollups, the journal is held against the rollups of all lives, and the upstream requests that the counters tell of against those that
//! the doubles received.

use std::io;
use std::process::Command;
use std::time::Duration;

use exai_upstream::Entry;

use crate::client::TOKEN;
use crate::clock;
use crate::oracle::{Rule, UpstreamCounts, Violation, counted};
use crate::world::World;
use crate::ws;

/// How often the daemon stores its sums, in seconds.
pub(crate) const FLUSH_S: u64 = 1;
/// How long counters and rollups may differ, in seconds: a tick, a flush, and a machine that is busy with the storm.
const WITHIN_S: u64 = 20;
/// How long a start may take to look at how the lives before it ended, and how often it is asked.
const OWNED_UP_WITHIN: Duration = Duration::from_secs(20);
const OWNED_UP_EVERY: Duration = Duration::from_millis(100);

/// Every number that differs.
pub(crate) async fn differences(world: &World) -> io::Result<Vec<Violation>> {
    let mut found = audit(world).await?;
    if found.is_empty()
        && let Some(calls) = unaccounted(world).await?
    {
        let what = format!("{calls} calls of the journal are neither there nor said to be lacking");
        found.push(Violation::new(Rule::Counted, "the rollups of all lives", what));
    }
    let (status, text) = ws::get(world.daemon.dashboard, "/metrics", TOKEN).await?;
    if status != 200 {
        found.push(Violation::new(Rule::Counted, "/metrics", format!("it was answered {status}")));
        return Ok(found);
    }
    let entries: Vec<Entry> = world.entries(&world.born);
    for (provider, double) in [("kimi", exai_upstream::Make::Kimi), ("glm", exai_upstream::Make::Glm)] {
        let of_double = entries.iter().filter(|entry| entry.make == double);
        counted(provider, &UpstreamCounts::of(&text, provider), of_double, &mut found);
    }
    Ok(found)
}

/// How many calls are in the journal and in no account of lives, once the last start has looked at how those before it ended.
async fn unaccounted(world: &World) -> io::Result<Option<i64>> {
    let by = clock::now() + OWNED_UP_WITHIN;
    loop {
        let (calls, unwritten) = world.db.unaccounted().await?;
        if calls <= 0 && -calls <= unwritten {
            return Ok(None);
        }
        if clock::now() >= by {
            return Ok(Some(calls));
        }
        tokio::time::sleep(OWNED_UP_EVERY).await;
    }
}

/// What the command says of the running daemon; it waits for the next flush by itself.
async fn audit(world: &World) -> io::Result<Vec<Violation>> {
    let mut command = Command::new(&world.start.exai);
    command.args(["audit", "--within", &WITHIN_S.to_string()]).current_dir(&world.start.home).env_clear();
    command
        .env("HOME", &world.start.home)
        .envs(world.start.variables.iter().map(|(name, value)| (name, value)));
    command.env("EXAI_LISTEN__MCP", world.daemon.mcp.to_string());
    command.env("EXAI_LISTEN__DASHBOARD", world.daemon.dashboard.to_string());
    let ran = tokio::task::spawn_blocking(move || command.output()).await.map_err(io::Error::other)??;
    if ran.status.success() {
        return Ok(Vec::new());
    }
    let said = [ran.stdout, ran.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    let mut found =
        said.lines().map(|line| Violation::new(Rule::Counted, "exai audit", line)).collect::<Vec<_>>();
    if found.is_empty() {
        found.push(Violation::new(Rule::Counted, "exai audit", format!("it ended with {}", ran.status)));
    }
    Ok(found)
}
