//! The wiring: every actor and both servers, bottom up; stopping is the same list, top down. Nothing else in `src/` starts an actor.

mod counted;
mod dashboard;
mod deaths;
mod error;
mod exposed;
#[cfg(feature = "faults")]
mod faults;
mod fit;
mod monitor;
mod outside;
mod providers;
mod reload;
pub(crate) mod scratch;
mod signs;
mod storage;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::Addr;
use actix_rt::{Arbiter, System};
use exai_actors::clock;
use exai_actors::dispatcher::admission::Limits;
use exai_actors::dispatcher::messages::Drain;
use exai_actors::dispatcher::{Dispatcher, Setup};
use exai_actors::events;
use exai_actors::health::{HealthBoard, Status};
use exai_actors::mail;
use exai_actors::metrics::{Metrics, messages::Flush};
use exai_actors::models::CurrentCatalogue;
use exai_actors::storage::migrate;
use exai_actors::storage_writer::{self, StorageWriter};
use exai_actors::tools::{About, Parts, Toolbox};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Inputs};
use crate::replica::Replica;
use crate::security::{self, Gate, Token};
use crate::unix::EndRequests;

use counted::Counted;
use deaths::Deaths;
pub(crate) use error::StartError;
pub(crate) use fit::problems;
use outside::{Outside, Sockets};
pub(crate) use reload::{Reload, Reloader};

/// The exit code of a process that gave itself up, so that whoever runs it starts it again (sysexits, `EX_SOFTWARE`).
const GAVE_UP: u8 = 70;
/// How long an actor may take beyond what it was asked to wait for.
const GRACE: Duration = Duration::from_secs(2);
/// How long the last writes may take.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// A daemon that takes calls.
pub(crate) struct Running {
    /// Where MCP clients connect; the real port where 0 was configured.
    pub(crate) mcp: SocketAddr,
    /// Where people and probes connect.
    pub(crate) dashboard: SocketAddr,
    /// What opens both.
    pub(crate) token: Token,
    stop: CancellationToken,
    thread: JoinHandle<ExitCode>,
}

/// Ends a daemon from another thread, as SIGTERM would.
#[derive(Clone)]
pub(crate) struct Stopper(CancellationToken);

impl Stopper {
    /// Drains and ends it.
    pub(crate) fn stop(&self) {
        self.0.cancel();
    }
}

/// Starts everything and returns once calls are taken. It blocks, and needs a thread without an actix system: the database is
/// migrated first, and its migrations block too. `inputs` is what a reload reads; without them it is refused.
pub(crate) fn start(config: Config, inputs: Option<Inputs>) -> Result<Running, StartError> {
    if let Some(problem) = problems(&config).into_iter().next() {
        return Err(problem);
    }
    let token = Token::of(&config)?;
    let sockets = Sockets::bind(&config.listen)?;
    let (mcp, dashboard) = (sockets.mcp, sockets.dashboard);
    migrate(&config.storage.url)?;
    let replica = Replica::take(config.storage.state_folder.as_deref());
    let gate = Gate::open(&config.listen, &[mcp, dashboard], &token, config.tokens_file.as_deref())?;
    exposed::warn(&config);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let (up, is_up) = mpsc::channel();
    let live = move || {
        System::new().block_on(async move {
            match Inside::start(config, inputs, sockets, gate, replica).await {
                Ok(inside) => {
                    // Nobody waiting is nobody to tell.
                    let _ = up.send(Ok(()));
                    inside.until_stopped(stopped).await
                }
                Err(error) => {
                    let _ = up.send(Err(error));
                    ExitCode::FAILURE
                }
            }
        })
    };
    let thread =
        std::thread::Builder::new().name("exai".to_owned()).spawn(live).map_err(StartError::Thread)?;
    match is_up.recv() {
        Ok(Ok(())) => Ok(Running { mcp, dashboard, token, stop, thread }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StartError::Panicked),
    }
}

impl Running {
    /// A handle that ends it.
    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Waits for SIGTERM, Ctrl-C or a stopper, drains, and says how it went.
    pub(crate) fn wait(self) -> ExitCode {
        self.thread.join().unwrap_or(ExitCode::from(GAVE_UP))
    }
}

/// Everything that runs, in the order in which it was started.
struct Inside {
    drain_within: Duration,
    board: HealthBoard,
    gave_up: CancellationToken,
    ends: EndRequests,
    arbiters: [Arbiter; 2],
    writer: Addr<StorageWriter>,
    metrics: Addr<Metrics>,
    dispatcher: Addr<Dispatcher>,
    outside: Outside,
    /// Its locks are held until the process ends.
    _replica: Replica,
}

impl Inside {
    async fn start(
        config: Config,
        inputs: Option<Inputs>,
        sockets: Sockets,
        gate: Gate,
        mut replica: Replica,
    ) -> Result<Self, StartError> {
        let mut ends = EndRequests::listen().map_err(StartError::Signals)?;
        let (board, gave_up) = (HealthBoard::default(), CancellationToken::new());
        let (core, stored) = (Arbiter::new(), Arbiter::new());
        let deaths = Deaths { board: board.clone(), gave_up: gave_up.clone() };

        let starting = storage::start(&config, &mut replica, stored.handle(), &board, &deaths);
        let storage = ends.before(starting).await.ok_or(StartError::ToldToEnd)??;
        let threads = [("core", &core), ("storage", &stored)];
        let (store, writer) = (storage.store.clone(), storage.writer.clone());
        let Counted { metrics, load, scrape } = counted::start(&config, &replica, storage, threads, &deaths);
        let configured = providers::catalogue(&config)?;
        let default_model = providers::default_model(&config, &configured)?;
        let (links, listed) = providers::start(&config, &core.handle(), &metrics.address, &deaths)?;
        let catalogue = providers::follow(configured, listed);
        let supervisors = providers::supervisors(&links);
        let setup = Setup {
            catalogue: catalogue.clone(),
            default_model: default_model.clone(),
            limits: limits(&config),
            queue_wait: config.limits.queue_wait,
            deadline: config.limits.deadline,
            replica: replica.identity().to_owned(),
            store: store.clone(),
            writer: writer.clone(),
            load,
            providers: links,
        };
        let dispatcher = Dispatcher::start(&core.handle(), setup, deaths.of("dispatcher", true));
        board.set("dispatcher", Status::Ok, "", clock::utc_now());
        storage::attend(store.clone(), writer.clone(), dispatcher.clone());
        monitor::start(&writer);
        actix_rt::spawn(security::watch(gate.clone()));
        signs::watch(&config, &replica, &board, &scrape, &store, threads);
        let about = about(&config, catalogue.clone(), default_model, &board);
        let reloader = Reloader::start(inputs, &config, dispatcher.clone(), supervisors.clone());
        let (seen, named) = (metrics.published.clone(), supervisors.clone());
        let parts = Parts { dispatcher: dispatcher.clone(), metrics: seen, supervisors: named, store, about };
        let inner = outside::Inner {
            gate,
            reloader,
            board: board.clone(),
            started: parts.about.started,
            deltas: metrics.deltas.clone(),
            writer: writer.clone(),
            panel: dashboard::start(&config, &parts, scrape.load.clone(), writer.clone()),
            scrape,
            supervisors,
            catalogue,
        };
        let outside = Outside::open(sockets, &config, Toolbox::new(parts), inner)?;
        Ok(Self {
            drain_within: config.limits.drain,
            board,
            gave_up,
            ends,
            arbiters: [core, stored],
            writer,
            metrics: metrics.address,
            dispatcher,
            outside,
            _replica: replica,
        })
    }

    /// Serves until it is told to stop, or an actor that nothing works without has died for good.
    async fn until_stopped(mut self, stop: CancellationToken) -> ExitCode {
        let told = tokio::select! {
            () = self.ends.next() => true,
            () = stop.cancelled() => true,
            () = self.gave_up.cancelled() => false,
        };
        if !told {
            log::error!("an actor that nothing works without died too often; the process ends");
            return ExitCode::from(GAVE_UP);
        }
        let Self { drain_within, board, mut ends, arbiters, writer, metrics, dispatcher, outside, .. } = self;
        log::info!(within_s = drain_within.as_secs(); "draining");
        board.set("dispatcher", Status::Down, "draining: the server is shutting down", clock::utc_now());
        tokio::select! {
            () = drain(drain_within, outside, dispatcher, metrics, writer) => {}
            () = ends.next() => log::warn!("told to stop once more; running calls are left as they are"),
        }
        for arbiter in arbiters {
            arbiter.stop();
        }
        ExitCode::SUCCESS
    }
}

/// Top down: nothing new, then what runs, then the sockets, then what is still to be written.
async fn drain(
    within: Duration,
    outside: Outside,
    dispatcher: Addr<Dispatcher>,
    metrics: Addr<Metrics>,
    writer: Addr<StorageWriter>,
) {
    monitor::drain();
    outside.announce_drain();
    match mail::ask(&dispatcher, Drain { within }, within + GRACE).await {
        Ok(0) => {}
        Ok(left) => log::warn!(calls = left; "calls were still running at the end of the drain"),
        Err(error) => log::error!("the dispatcher could not be drained: {error}"),
    }
    outside.close().await;
    if let Err(error) = mail::ask(&metrics, Flush, FLUSH_WITHIN).await {
        log::error!("the last sums were not stored: {error}");
    }
    events::write_last(&writer).await;
    if let Err(error) = storage_writer::flush(&writer, FLUSH_WITHIN).await {
        log::error!("the last writes were not confirmed: {error}");
    }
    log::info!("stopped");
}

/// What the server tells of itself.
fn about(config: &Config, catalogue: CurrentCatalogue, default_model: String, board: &HealthBoard) -> About {
    let left_out = config.left_out.iter().map(|out| (out.name.clone(), out.reason.clone())).collect();
    About {
        version: env!("CARGO_PKG_VERSION"),
        started: clock::now(),
        catalogue,
        default_model,
        left_out,
        board: board.clone(),
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        global: config.limits.global,
        per_session: config.limits.per_session,
        per_conversation: config.limits.per_conversation,
        per_provider: config.providers.iter().map(|one| (one.name.clone(), one.max_in_flight)).collect(),
    }
}
