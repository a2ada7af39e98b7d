//! The WebSocket door over real sockets: a server on a free port, and a client that sends whatever a test wants.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse};
use exai_actors::ids::{CallId, Principal};
use exai_actors::storage::rows::{EndedSession, NewSession};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::ws::Ws;
use super::connections::Connections;
use super::edge::Limits;
use super::handler::Draining;
use super::patience::Patience;
use super::socket::{self, Door, Hooks, session_settings};
use crate::security::Pass;
use crate::serving::{Kind, Serving};

#[cfg(feature = "faults")]
mod autobahn;
mod calls;
#[cfg(feature = "faults")]
mod corpus;
mod delivery;
mod envelope;
mod frames;
mod gaps;
mod handovers;
mod inside;
mod limits;
mod over_http;
#[cfg(feature = "faults")]
mod panics;
mod planted;
mod resources;
mod sleep;
mod slow;
mod upgrade;
#[path = "../../tests/support/ws.rs"]
mod ws;

/// Planted panics hit whichever session comes first, and the process has one memory: such tests run alone.
static QUIET: RwLock<()> = RwLock::const_new(());

#[derive(Debug)]
#[expect(dead_code, reason = "held, never read")]
enum Hold {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// What a session told its hooks.
#[derive(Default)]
struct Seen {
    opened: Mutex<Vec<NewSession>>,
    closed: Mutex<Vec<EndedSession>>,
    delivered: Mutex<Vec<CallId>>,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    connections: Connections,
    leaving: CancellationToken,
    engines: TaskTracker,
    inside: inside::Inside,
    handle: ServerHandle,
    _hold: Hold,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only started here; nobody waits for the end of a test's server.
        drop(self.handle.stop(false));
    }
}

/// How one test's server differs.
struct Setup {
    alone: bool,
    connections: Connections,
    limits: Limits,
    http: super::http::Sessions,
    session: exai_actors::session::messages::Settings,
    user_timeout: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            alone: false,
            connections: Connections::new(100, 64, &[]),
            limits: Limits::default(),
            http: super::http::Sessions::new(10_000),
            session: session_settings(),
            user_timeout: Duration::from_secs(10),
        }
    }
}

impl Setup {
    async fn start(self) -> io::Result<Server> {
        let hold =
            if self.alone { Hold::Alone(QUIET.write().await) } else { Hold::Shared(QUIET.read().await) };
        let seen = Arc::new(Seen::default());
        let [opened, closed, delivered] = [&seen; 3].map(Arc::clone);
        let leaving = CancellationToken::new();
        let (inside, engines) = (inside::Inside::start()?, TaskTracker::new());
        let door = Arc::new(Door {
            check: Arc::new(check),
            toolbox: inside.toolbox.clone(),
            connections: self.connections.clone(),
            session: self.session,
            limits: self.limits,
            open: Default::default(),
            http: self.http,
            hooks: Hooks {
                on_open: Arc::new(move |session| opened.opened.lock().push(session)),
                on_close: Arc::new(move |_, session| closed.closed.lock().push(session)),
                on_delivered: Arc::new(move |call| delivered.delivered.lock().push(call)),
            },
            patience: Patience::new(&Default::default(), Duration::from_secs(900)),
            draining: Draining { begun: leaving.clone(), within: Duration::from_secs(25) },
            leaving: leaving.clone(),
            sessions: TaskTracker::new(),
            engines: engines.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (workers, write_stall) = (Some(1), self.user_timeout);
        let serving = Serving { listener, tls: None, door: Kind::Clients, workers, write_stall };
        let server = serving.run(move || {
            let app = App::new().configure(socket::routes(Arc::clone(&door)));
            #[cfg(feature = "faults")]
            let app = app.configure(super::echo::routes);
            app
        })?;
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let connections = self.connections;
        Ok(Server { address, seen, connections, leaving, engines, inside, handle, _hold: hold })
    }
}

/// Lets everyone in who has not the wrong token; one of them is somebody else.
#[expect(clippy::result_large_err, reason = "the door's own signature, once per connection")]
fn check(request: &HttpRequest) -> Result<Pass, HttpResponse> {
    match request.headers().get("authorization") {
        Some(token) if token == "Bearer other" => Ok(Pass::lasting(Principal::from("other"))),
        Some(token) if token != "Bearer right" => Err(HttpResponse::Unauthorized().finish()),
        Some(_) | None => Ok(Pass::lasting(Principal::from("tester"))),
    }
}

impl Server {
    async fn start() -> io::Result<Self> {
        Setup::default().start().await
    }

    async fn connect(&self) -> io::Result<Ws> {
        ws::connect(self.address, "/mcp", &[("Sec-WebSocket-Protocol", "mcp")]).await
    }

    /// A connection after `initialize`.
    async fn initialized(&self) -> io::Result<Ws> {
        let mut ws = self.connect().await?;
        ask(&mut ws, initialize("2025-11-25")).await?;
        tell(&mut ws, json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
        Ok(ws)
    }

    /// Waits until a condition holds.
    async fn until(&self, holds: impl Fn(&Self) -> bool) -> bool {
        for _ in 0..500 {
            if holds(self) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

async fn tell(ws: &mut Ws, message: Value) -> io::Result<()> {
    ws.send_text(&message.to_string()).await
}

/// Sends a message and gives the next one that comes.
async fn ask(ws: &mut Ws, message: Value) -> io::Result<Value> {
    tell(ws, message).await?;
    next(ws).await
}

async fn next(ws: &mut Ws) -> io::Result<Value> {
    Ok(serde_json::from_str(&ws.next_text().await?)?)
}

fn initialize(version: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": {},
        "clientInfo": { "name": "a\u{7}test", "version": "1" },
    } })
}

fn ping(id: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "ping" })
}

/// A request of 2026-07-28, which says everything in its own `_meta`.
fn modern(id: Value, method: &str, params: Value) -> Value {
    let mut request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    request["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "modern", "version": "2" },
    });
    request
}
