//! How a port is served: in the clear, or with TLS.

#[cfg(test)]
mod tests;
mod through;
mod upgraded;

use std::fmt::{Debug, Display};
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_codec::{AsyncRead, AsyncWrite, Framed};
use actix_http::body::BoxBody;
use actix_http::error::DispatchError;
use actix_http::h1::{Codec, ExpectHandler, H1Service};
use actix_http::{HttpService, Request};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, map_config};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Response, Service, ServiceFactory};
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;

use self::through::Through;
use crate::mcp::socket;

/// How long the sockets get to read their last messages.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// How long a client may take to send the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long a page's connection may take to close.
const PAGE_CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// What may wait to be written before the rest of a page is asked for.
const PAGE_BUFFER_BYTES: usize = 32 * 1024;

/// Whom a port is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// MCP clients.
    Clients,
    /// People and probes.
    People,
}

/// A connection with TLS.
type Sealed = Through<TlsStream<TcpStream>>;

/// A port that is about to be served.
pub(crate) struct Serving {
    /// Where connections come in.
    pub(crate) listener: TcpListener,
    /// The certificate, if there is one.
    pub(crate) tls: Option<ServerConfig>,
    /// Whom it is for.
    pub(crate) door: Kind,
    /// The threads that serve it; one for every core where none is said.
    pub(crate) workers: Option<usize>,
    /// How long a peer may leave what it was sent before the kernel drops it.
    pub(crate) write_stall: Duration,
}

impl Serving {
    /// Serves what `factory` makes, twice for every worker thread.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub(crate) fn run<F, I, S, B>(self, factory: F) -> io::Result<Server>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Future: 'static,
        S::Error: Into<Error> + 'static,
        S::InitError: Debug,
        S::Response: Into<Response<B>> + 'static,
        <S::Service as Service<Request>>::Future: 'static,
        S::Service: 'static,
        B: MessageBody + 'static,
    {
        let (door, write_stall) = (self.door, self.write_stall);
        let mut server = Server::build().shutdown_timeout(CLOSE_WITHIN.as_secs()).disable_signals();
        if let Some(workers) = self.workers {
            server = server.workers(workers);
        }
        let served = match self.tls {
            None => server.listen("http", self.listener, move || {
                http(door, [factory(), factory()], move |stream: &TcpStream| {
                    socket::prepare(stream, write_stall)
                })
                .tcp()
            }),
            Some(tls) => server.listen("https", self.listener, move || {
                let prepare = move |stream: &Sealed| {
                    socket::prepare(stream.get_ref().get_ref().0, write_stall);
                };
                sealed(tls.clone(), http(door, [factory(), factory()], prepare))
            }),
        };
        Ok(served?.run())
    }
}

/// `http` over TLS.
fn sealed<S, B, U>(
    tls: ServerConfig,
    http: H1Service<Sealed, S, B, ExpectHandler, U>,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (),
    Error = TlsError<io::Error, DispatchError>,
    InitError = (),
>
where
    S: ServiceFactory<Request, Config = ()>,
    S::Future: 'static,
    S::Error: Into<Response<BoxBody>>,
    S::InitError: Debug,
    S::Response: Into<Response<B>>,
    B: MessageBody,
    U: ServiceFactory<(Request, Framed<Sealed, Codec>), Config = (), Response = ()>,
    U::Future: 'static,
    U::Error: Display + Into<Response<BoxBody>>,
    U::InitError: Debug,
{
    let accept = Acceptor::new(tls).map_err(TlsError::into_service_error);
    let accept = accept.map(|stream: TlsStream<TcpStream>| {
        let peer = stream.get_ref().0.peer_addr().ok();
        (Through::new(stream), peer)
    });
    accept.and_then(http.map_err(TlsError::Service))
}

/// HTTP/1.1 alone, over `T`. `HttpServer` has no way to take a connection over; and with TLS it would offer HTTP/2, by a library that is
/// not maintained.
#[expect(clippy::type_complexity, reason = "its parts have no names that an alias could use")]
fn http<T, I, S, B>(
    door: Kind,
    apps: [I; 2],
    prepare: impl Fn(&T) + 'static,
) -> H1Service<
    T,
    impl ServiceFactory<
        Request,
        Config = (),
        Response = S::Response,
        Error = Response<BoxBody>,
        InitError = S::InitError,
        Future: 'static,
        Service: Service<Request, Future: 'static>,
    >,
    B,
    ExpectHandler,
    impl ServiceFactory<
        (Request, Framed<T, Codec>),
        Config = (),
        Response = (),
        Error = Error,
        InitError = S::InitError,
        Future: 'static,
    >,
>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Future: 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let for_clients = door == Kind::Clients;
    let [answering, upgrading] = apps.map(|app| {
        let app = app.into_factory().map_err(|error: S::Error| Response::from(error.into()));
        map_config(app, |()| AppConfig::default())
    });
    HttpService::build()
        .client_request_timeout(HEAD_WITHIN)
        // A socket that has said Close is done: lingering costs clean closes and leaks the connection.
        .client_disconnect_timeout(if for_clients { Duration::ZERO } else { PAGE_CLOSE_WITHIN })
        // A client that goes away cancels (MCP 2026-07-28, Streamable HTTP), also while nothing is being said to it.
        .h1_allow_half_closed(!for_clients)
        // Nothing is asked for while anything waits to be written: so a body that is asked again knows that it was written whole.
        .h1_write_buffer_size(if for_clients { 1 } else { PAGE_BUFFER_BYTES })
        .on_connect_ext(move |stream: &T, _| prepare(stream))
        .upgrade(upgraded::by(upgrading))
        .h1(answering)
}
