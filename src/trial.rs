//! The operator's test: synthetic consultations and a breaker's whole story, in a system of its own on scratch keys. It asks no real
//! provider, costs nothing, and leaves nothing in the journal.

mod breaker;
mod consultations;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use exai_actors::clock;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::wiring::scratch::{Scratch, ScratchError};

/// How long all of it may take; a breaker alone stays open for about 5 s.
const WITHIN: Duration = Duration::from_secs(60);
/// How long an actor of it may take to answer.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// Who runs tests: one at a time.
#[derive(Clone)]
pub(crate) struct Trials {
    place: Arc<Semaphore>,
    /// Where the scratch database goes; the system's own folder without one.
    folder: Option<PathBuf>,
}

/// What was tried, and how it went.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    /// Which of the two tests.
    part: &'static str,
    /// What must be so.
    what: &'static str,
    /// Whether it is.
    ok: bool,
    /// What was seen.
    said: String,
}

/// What a baseline is made of, in milliseconds.
#[derive(Debug, Default, Serialize)]
struct Measures {
    consultation_p50_ms: Option<f64>,
    consultation_p95_ms: Option<f64>,
    first_token_p50_ms: Option<f64>,
    refusal_ms: Option<f64>,
}

/// How a test went.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    ok: bool,
    took_ms: f64,
    steps: Vec<Step>,
    measures: Measures,
}

impl Trials {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { place: Arc::new(Semaphore::new(1)), folder }
    }

    /// The one place, if nobody tests now.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.place).try_acquire_owned().ok()
    }

    /// Runs the test on a thread of its own, which goes on to its end even where nobody waits any more.
    pub(crate) async fn run(&self, place: OwnedSemaphorePermit) -> Result<Report, ScratchError> {
        let (done, report) = oneshot::channel();
        let (folder, thread) = (self.folder.clone(), Arbiter::new());
        let trial = async move {
            let report = tokio::time::timeout(WITHIN, of_scratch(folder)).await;
            // Nobody waiting is nobody to tell.
            let _ = done.send(report.unwrap_or(Err(ScratchError::Lost)));
            drop(place);
            Arbiter::current().stop();
        };
        if !thread.spawn_fn(move || drop(actix_rt::spawn(trial))) {
            return Err(ScratchError::Lost);
        }
        report.await.unwrap_or(Err(ScratchError::Lost))
    }
}

async fn of_scratch(folder: Option<PathBuf>) -> Result<Report, ScratchError> {
    let began = clock::now();
    let scratch = Scratch::start(folder.as_deref()).await?;
    let mut measures = Measures::default();
    let mut steps = consultations::of(&scratch, &mut measures).await;
    steps.extend(breaker::of(&scratch, &mut measures).await);
    let ok = steps.iter().all(|step| step.ok);
    Ok(Report { ok, took_ms: in_ms(clock::now() - began), steps, measures })
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
