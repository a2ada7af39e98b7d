//! STAND-IN, to be replaced: the seam between the command line and the system. It opens both doors with the real gate and the real
//! health routes, and has nothing behind them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::{App, HttpResponse, HttpServer, web};
use exai_actors::clock;
use exai_actors::health::{HealthBoard, Status};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::routes::{self, Door};
use crate::security::{Gate, Token, TokenError};
use crate::unix::EndRequests;

/// A daemon that takes calls.
pub(crate) struct Running {
    /// Where MCP clients connect; the real port where 0 was configured.
    pub(crate) mcp: SocketAddr,
    /// Where people and probes connect.
    pub(crate) dashboard: SocketAddr,
    /// What opens both.
    pub(crate) token: Token,
    stop: CancellationToken,
    thread: JoinHandle<io::Result<()>>,
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

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A port is taken, or not ours to take.
    #[error("cannot listen on {address}; stop what listens there, or set {key} to another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The key that sets it.
        key: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is no token.
    #[error("the token cannot be had")]
    Token(#[from] TokenError),
    /// A thread or a runtime could not be had.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
}

/// Starts everything and returns once calls are taken. It blocks, and needs a thread without an actix system.
pub(crate) fn start(config: Config) -> Result<Running, StartError> {
    stand_in_for_its_readers(&config);
    let token = Token::of(&config)?;
    let mcp = bind(config.listen.mcp, "listen.mcp (EXAI_LISTEN__MCP)")?;
    let dashboard = bind(config.listen.dashboard, "listen.dashboard (EXAI_LISTEN__DASHBOARD)")?;
    let bound = [&mcp, &dashboard].map(|listener| listener.local_addr().map_err(StartError::Thread));
    let [mcp_address, dashboard_address] = bound;
    let (mcp_address, dashboard_address) = (mcp_address?, dashboard_address?);
    let gate = Gate::new(&config.listen, &[mcp_address, dashboard_address], &token);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let (up, is_up) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("exai".to_owned())
        .spawn(move || actix_rt::System::new().block_on(serve(mcp, dashboard, gate, stopped, up)));
    let thread = thread.map_err(StartError::Thread)?;
    is_up.recv().map_err(|_| StartError::Thread(io::Error::other("it ended at once")))?;
    Ok(Running { mcp: mcp_address, dashboard: dashboard_address, token, stop, thread })
}

impl Running {
    /// A handle that ends it.
    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Waits for SIGTERM, Ctrl-C or a stopper, drains, and says how it went.
    pub(crate) fn wait(self) -> ExitCode {
        match self.thread.join() {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(_)) | Err(_) => ExitCode::FAILURE,
        }
    }
}

/// Reads what only the real wiring reads, so that nothing counts as dead until it is there.
fn stand_in_for_its_readers(config: &Config) {
    let Config { storage, limits, models, .. } = config;
    let _ = (&storage.durability, &storage.pool_size, &models.default);
    let _ =
        (&limits.global, &limits.per_session, &limits.per_conversation, &limits.queue_wait, &limits.deadline);
    let _ = (&limits.connections, &limits.connections_per_ip, &limits.message_bytes, &limits.drain);
    let _ = (&limits.requests_per_second, &limits.burst, &config.listen.trusted_proxies);
    for provider in &config.providers {
        let _ = (&provider.dialect, &provider.api_key, &provider.models, &provider.max_in_flight);
        let _ = (&provider.first_byte_timeout, &provider.idle_timeout);
    }
}

fn bind(address: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| StartError::Listen { address, key, source })
}

async fn serve(
    mcp: TcpListener,
    dashboard: TcpListener,
    gate: Gate,
    stop: CancellationToken,
    up: mpsc::Sender<()>,
) -> io::Result<()> {
    let health = HealthBoard::default();
    health.set("storage", Status::Ok, "there is none in the stand-in", clock::utc_now());
    let door = Door { gate: gate.clone(), health, started: clock::now() };
    let people = HttpServer::new(move || App::new().configure(routes::dashboard(door.clone())));
    let people = people.workers(1).disable_signals().listen(dashboard)?.run();
    let clients = HttpServer::new(move || {
        let gate = gate.clone();
        App::new().default_service(web::to(move |request: actix_web::HttpRequest| {
            let checked = gate.check(&request);
            async move { checked.map(|_| HttpResponse::NotImplemented().finish()) }
        }))
    });
    let clients = clients.workers(1).disable_signals().listen(mcp)?.run();
    let handles = [people.handle(), clients.handle()];
    actix_rt::spawn(people);
    actix_rt::spawn(clients);
    let mut ends = EndRequests::listen()?;
    // Nobody waiting is nobody to tell.
    let _ = up.send(());
    tokio::select! {
        () = ends.next() => {}
        () = stop.cancelled() => {}
    }
    for handle in handles {
        handle.stop(true).await;
    }
    Ok(())
}
