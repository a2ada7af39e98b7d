//! The HTTP client of one provider: HTTP/1.1 alone, no redirects, no limits of its own but the time to connect.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_tls::connect::{self, ConnectInfo, ConnectorService};
use actix_web::dev::Service;
use awc::http::header::USER_AGENT;
use awc::http::{Uri, Version};
use awc::{Client, Connector};
use futures_util::future::LocalBoxFuture;

/// How long a connection may take to come about, and again how long its TLS handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Who we say we are.
const AGENT: &str = concat!("exai/", env!("CARGO_PKG_VERSION"));

/// The client of one provider's calls, with the connections that they share.
#[derive(Clone)]
pub(super) struct Pool(Rc<RefCell<Rc<Client>>>);

/// The client that one request goes out with.
pub(super) struct Taken {
    pool: Pool,
    client: Rc<Client>,
}

impl Pool {
    /// One without a connection.
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new(Rc::new(client()))))
    }

    /// To be asked for at once: it may be replaced while others wait.
    pub(super) fn take(&self) -> Taken {
        Taken { pool: self.clone(), client: Rc::clone(&self.0.borrow()) }
    }
}

impl Taken {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// No later call goes out on a connection that stood when this client was taken. A crowd that finds the same out together starts
    /// over once.
    ///
    /// awc takes an interim response (RFC 9110 15.2) for the whole answer and keeps the connection, on which the answer is yet to come: it
    /// would be the next caller's. Which connection that was, it does not say. And where one connection of the pool was found dead, the
    /// request's second try would find the next one so.
    pub(super) fn abandon(&self) {
        let mut current = self.pool.0.borrow_mut();
        if Rc::ptr_eq(&current, &self.client) {
            *current = Rc::new(client());
        }
    }
}

/// A client with an empty pool.
///
/// HTTP/2 is not offered: a cancelled call must close its socket, and the only h2 that awc speaks has an advisory. The pool's own
/// limit would queue silently, and the default request timeout is 5 s: permits and timers are ours. A redirect is an answer like
/// any other, since following it could take the key to another host. No compression is built in, so `identity` is asked for.
fn client() -> Client {
    // With more than one crypto provider compiled in, rustls panics unless one has been chosen for the process. The first choice
    // stays, and any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connector = Connector::new()
        .connector(Noting(connect::Connector::default().service()))
        .max_http_version(Version::HTTP_11)
        .limit(0)
        .timeout(CONNECT_WITHIN)
        .handshake_timeout(CONNECT_WITHIN)
        // A cancelled call does not wait for the other side's goodbye.
        .disconnect_timeout(Duration::ZERO);
    Client::builder()
        .connector(connector)
        .disable_timeout()
        .disable_redirects()
        .add_default_header((USER_AGENT, AGENT))
        .finish()
}

tokio::task_local! {
    static CONNECTED: Cell<bool>;
}

/// What a request went out on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WentOn {
    /// A connection that was made for it.
    New,
    /// One that had served a call before.
    Reused,
}

/// Sends, and says on what. awc's pool asks for a connection in the request's own future, so one that is asked for in here is this
/// request's.
pub(super) async fn noting<S: Future>(sending: S) -> (S::Output, WentOn) {
    CONNECTED
        .scope(Cell::new(false), async {
            let sent = sending.await;
            (sent, if CONNECTED.with(Cell::get) { WentOn::New } else { WentOn::Reused })
        })
        .await
}

/// The connector of the client: it connects as awc's own does, without Nagle's delay, and notes that it did.
#[derive(Clone)]
struct Noting(ConnectorService);

impl Service<ConnectInfo<Uri>> for Noting {
    type Response = <ConnectorService as Service<ConnectInfo<Uri>>>::Response;
    type Error = <ConnectorService as Service<ConnectInfo<Uri>>>::Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&self, task: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<ConnectInfo<Uri>>::poll_ready(&self.0, task)
    }

    fn call(&self, to: ConnectInfo<Uri>) -> Self::Future {
        // Without a call around it there is nobody to tell.
        let _ = CONNECTED.try_with(|connected| connected.set(true));
        let connecting = self.0.call(to);
        Box::pin(async move {
            let connection = connecting.await?;
            // Or the body of a request would wait, up to 40 ms, for the acknowledgement of its head.
            if let Err(error) = connection.io_ref().set_nodelay(true) {
                log::warn!(error:%; "cannot set TCP_NODELAY; requests to a provider are slow");
            }
            Ok(connection)
        })
    }
}
