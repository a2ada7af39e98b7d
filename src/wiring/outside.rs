//! The two servers: clients on one port, people and probes on the other. The last to start, the first to stop.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix::Addr;
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App, ResponseError, web};
use exai_actors::clock::{self, Instant};
use exai_actors::health::HealthBoard;
use exai_actors::ids::{ProviderName, SessionId};
use exai_actors::mail;
use exai_actors::meter::{self, Counter, Delta};
use exai_actors::models::CurrentCatalogue;
use exai_actors::provider_supervisor::ProviderSupervisor;
use exai_actors::session::messages::{Settings, WRITE_STALL};
use exai_actors::storage_writer::StorageWriter;
use exai_actors::storage_writer::messages::{Record, Write};
use exai_actors::tools::Toolbox;
use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Reloader, StartError};
use crate::config::{Config, Listen};
use crate::mcp::connections::Connections;
use crate::mcp::edge::Limits;
use crate::mcp::handler::Draining;
use crate::mcp::http::Sessions;
use crate::mcp::patience::Patience;
use crate::mcp::socket::{self, Hooks};
use crate::routes;
use crate::security::{self, Browsers, Gate, Scope};
use crate::serving::{CLOSE_WITHIN, Kind, Serving};
use crate::tls;

/// Both ports, bound: what cannot be had is known before anything starts.
pub(super) struct Sockets {
    pub(super) mcp: SocketAddr,
    pub(super) dashboard: SocketAddr,
    listeners: [TcpListener; 2],
    tls: Option<ServerConfig>,
}

impl Sockets {
    pub(super) fn bind(listen: &Listen) -> Result<Self, StartError> {
        let tls = tls::server(listen)?;
        let (clients, mcp) = bind(listen.mcp, "listen.mcp (EXAI_LISTEN__MCP)")?;
        let (people, dashboard) = bind(listen.dashboard, "listen.dashboard (EXAI_LISTEN__DASHBOARD)")?;
        Ok(Self { mcp, dashboard, listeners: [clients, people], tls })
    }
}

fn bind(address: SocketAddr, key: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| StartError::Listen { address, key, source })
}

/// What the servers need from the inside.
pub(super) struct Inner {
    pub(super) gate: Gate,
    pub(super) reloader: Reloader,
    pub(super) board: HealthBoard,
    pub(super) started: Instant,
    pub(super) deltas: mpsc::Sender<Delta>,
    pub(super) scrape: routes::Scrape,
    pub(super) writer: Addr<StorageWriter>,
    pub(super) supervisors: BTreeMap<ProviderName, Addr<ProviderSupervisor>>,
    pub(super) catalogue: CurrentCatalogue,
    pub(super) panel: routes::Panel,
}

/// The running servers.
pub(super) struct Outside {
    draining: CancellationToken,
    leaving: CancellationToken,
    sessions: TaskTracker,
    handles: [ServerHandle; 2],
}

impl Outside {
    /// Opens both doors.
    pub(super) fn open(
        sockets: Sockets,
        config: &Config,
        toolbox: Toolbox,
        inner: Inner,
    ) -> Result<Self, StartError> {
        let [clients, people] = sockets.listeners;
        let (draining, leaving) = (CancellationToken::new(), CancellationToken::new());
        let sessions = TaskTracker::new();
        let limits = &config.limits;
        let connections =
            Connections::new(limits.connections, limits.connections_per_ip, &config.listen.trusted_proxies);
        let people = serve_people(people, sockets.tls.clone(), &inner, config)?;
        let open = inner.panel.sessions.clone();
        let guarded = inner.gate.clone();
        let door = Arc::new(socket::Door {
            check: checked_by(inner.gate),
            toolbox,
            connections,
            session: Settings { message_bytes_max: limits.message_bytes, ..socket::session_settings() },
            limits: Limits {
                requests_burst: limits.burst,
                requests_per_second: f64::from(limits.requests_per_second),
                ..Limits::default()
            },
            patience: Patience::new(&config.clients.limits, limits.deadline),
            open,
            http: Sessions::new(limits.connections),
            hooks: hooks(inner.writer),
            draining: Draining { begun: draining.clone(), within: limits.drain },
            leaving: leaving.clone(),
            sessions: sessions.clone(),
            engines: TaskTracker::new(),
        });
        let deltas = inner.deltas;
        let clients = Serving {
            listener: clients,
            tls: sockets.tls,
            door: Kind::Clients,
            workers: None,
            write_stall: WRITE_STALL,
        };
        let clients = clients.run(move || {
            meter::attach("sessions", &deltas);
            let app = App::new()
                .wrap(from_fn(security::doorkeeper))
                .app_data(web::Data::new(guarded.clone()))
                .default_service(web::to(routes::nothing_but_mcp))
                .configure(socket::routes(Arc::clone(&door)));
            #[cfg(feature = "faults")]
            let app = app.configure(crate::mcp::echo::routes).configure(super::faults::routes);
            app
        });
        let clients = clients.map_err(StartError::Thread)?;
        let handles = [clients.handle(), people.handle()];
        actix_rt::spawn(clients);
        actix_rt::spawn(people);
        Ok(Self { draining, leaving, sessions, handles })
    }

    /// Tells the followers of running calls that the server waits for these and then leaves.
    pub(super) fn announce_drain(&self) {
        self.draining.cancel();
    }

    /// Says Close 1001 to every socket that reads, and closes both ports.
    pub(super) async fn close(self) {
        self.leaving.cancel();
        let [clients, people] = self.handles;
        self.sessions.close();
        if tokio::time::timeout(CLOSE_WITHIN, self.sessions.wait()).await.is_err() {
            log::warn!(sessions = self.sessions.len(); "sockets that do not read are dropped");
        }
        clients.stop(false).await;
        people.stop(false).await;
    }
}

/// The port of people and probes.
fn serve_people(
    listener: TcpListener,
    tls: Option<ServerConfig>,
    inner: &Inner,
    config: &Config,
) -> Result<Server, StartError> {
    let (door, panel) = (people_door(inner, config), inner.panel.clone());
    let people = Serving { listener, tls, door: Kind::People, workers: Some(1), write_stall: WRITE_STALL };
    let people =
        people.run(move || App::new().configure(routes::dashboard(door.clone(), Some(panel.clone()))));
    people.map_err(StartError::Thread)
}

/// What people and probes come in by.
fn people_door(inner: &Inner, config: &Config) -> routes::Door {
    routes::Door {
        gate: inner.gate.clone(),
        reloader: Some(inner.reloader.clone()),
        health: inner.board.clone(),
        started: inner.started,
        supervisors: Arc::new(inner.supervisors.clone()),
        scrape: inner.scrape.clone(),
        catalogue: inner.catalogue.clone(),
        browsers: Browsers::default(),
        folder: routes::Folder(config.dashboard.folder.clone()),
    }
}

#[expect(clippy::result_large_err, reason = "the door's own signature, once per connection")]
fn checked_by(gate: Gate) -> Arc<socket::Check> {
    Arc::new(move |request| gate.check(request, Scope::Client).map_err(|refusal| refusal.error_response()))
}

/// Sessions and deliveries go into the counters and into the journal; neither may hold a session up.
fn hooks(writer: Addr<StorageWriter>) -> Hooks {
    let (written, delivered) = (writer.clone(), writer.clone());
    Hooks {
        on_open: Arc::new(move |session| {
            meter::add(Counter::SessionsOpened, &[&session.transport], 1);
            note(session.id, mail::tell(&written, unheard(Record::SessionOpened(session))));
        }),
        on_close: Arc::new(move |transport, session| {
            meter::add(Counter::SessionsClosed, &[transport], 1);
            note(session.id, mail::tell(&writer, unheard(Record::SessionEnded(session))));
        }),
        on_delivered: Arc::new(move |call| {
            let record = Record::CallDelivered { call, at: clock::utc_now() };
            if let Err(error) = mail::tell(&delivered, unheard(record)) {
                meter::add(Counter::Dropped, &["delivery_records"], 1);
                // Undelivered in the journal, the answer waits for whoever asks the same again: too much, never too little.
                log::warn!(call:%; "a delivery was not noted: {error}");
            }
        }),
    }
}

fn unheard(record: Record) -> Write {
    Write { record, done: oneshot::channel().0 }
}

fn note(session: SessionId, told: Result<(), mail::MailError>) {
    if let Err(error) = told {
        meter::add(Counter::Dropped, &["session_records"], 1);
        log::warn!(session:%; "a session was not noted: {error}");
    }
}
