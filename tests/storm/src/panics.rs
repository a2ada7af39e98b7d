//! Planted panics, where the binary has the cargo feature `faults`: seldom enough that no actor is given up for good.

use std::io;
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::world::World;

/// Where panics are planted, and how often at most: an actor that dies more often than its supervisor allows ends the process, as it
/// should (`supervised::Intensity`, the dispatcher's own).
const POINTS: [(&str, Duration); 8] = [
    ("consultation", Duration::from_millis(700)),
    ("upstream_call", Duration::from_millis(700)),
    ("metrics", Duration::from_millis(700)),
    ("session", Duration::from_millis(700)),
    ("provider", Duration::from_secs(5)),
    ("provider_supervisor", Duration::from_secs(5)),
    ("storage_writer", Duration::from_secs(5)),
    ("dispatcher", Duration::from_secs(45)),
];
/// How often one of them is planted.
const EVERY: Duration = Duration::from_millis(400);

/// When which point was armed last.
#[derive(Default)]
pub(crate) struct Planter {
    armed: [Option<Instant>; POINTS.len()],
    last: Option<Instant>,
    useless: bool,
}

/// Plants a panic when one is due; nothing where the binary has no such door.
pub(crate) async fn plant(world: &mut World) -> io::Result<()> {
    let now = clock::now();
    let rests =
        |since: Option<Instant>, rest: Duration| since.is_some_and(|since| now.duration_since(since) < rest);
    if world.planter.useless || rests(world.planter.last, EVERY) {
        return Ok(());
    }
    let n = world.rng.usize(..POINTS.len());
    let (point, rest) = POINTS[n];
    if rests(world.planter.armed[n], rest) {
        return Ok(());
    }
    (world.planter.last, world.planter.armed[n]) = (Some(now), Some(now));
    world.planter.useless = !world.plant(point).await?;
    Ok(())
}
