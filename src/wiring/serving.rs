//! How a port is served: in the clear, or with TLS.

use std::fmt::Debug;
use std::net::TcpListener;
use std::time::Duration;

use actix_http::{HttpService, Request};
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, map_config};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Extensions, Response, Service, ServiceFactory};
use actix_web::rt::net::TcpStream;
use actix_web::{Error, HttpServer};
use exai_actors::session::messages::WRITE_STALL;
use rustls::ServerConfig;

use super::StartError;
use super::outside::CLOSE_WITHIN;
use crate::mcp::socket;

/// How long a client may take to send the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long a page's connection may take to close.
const PAGE_CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Whom a port is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// MCP clients.
    Clients,
    /// People and probes.
    People,
}

/// A port that is about to be served.
pub(super) struct Serving {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<ServerConfig>,
    pub(super) door: Kind,
}

impl Serving {
    /// Serves what `factory` makes, once for every worker thread.
    pub(super) fn run<F, I, S, B>(self, factory: F) -> Result<Server, StartError>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<Error> + 'static,
        S::InitError: Debug,
        S::Response: Into<Response<B>> + 'static,
        <S::Service as Service<Request>>::Future: 'static,
        S::Service: 'static,
        B: MessageBody + 'static,
    {
        let for_clients = self.door == Kind::Clients;
        // A socket that has said Close is done: lingering costs clean closes and leaks the connection.
        let close_within = if for_clients { Duration::ZERO } else { PAGE_CLOSE_WITHIN };
        // A client that goes away cancels (MCP 2026-07-28, Streamable HTTP), also while nothing is being said to it.
        let half_closed = !for_clients;
        let on_connect = socket::on_connect(WRITE_STALL);
        let Some(tls) = self.tls else {
            let mut server = HttpServer::new(factory)
                .on_connect(on_connect)
                .client_request_timeout(HEAD_WITHIN)
                .client_disconnect_timeout(close_within)
                .h1_allow_half_closed(half_closed)
                .shutdown_timeout(CLOSE_WITHIN.as_secs())
                .disable_signals();
            if !for_clients {
                server = server.workers(1);
            }
            return Ok(server.listen(self.listener).map_err(StartError::Thread)?.run());
        };
        let mut server = Server::build().shutdown_timeout(CLOSE_WITHIN.as_secs()).disable_signals();
        if !for_clients {
            server = server.workers(1);
        }
        // HttpServer would offer HTTP/2, by a library that is not maintained; and only HTTP/1.1 has our WebSocket.
        let served = server.listen("tls", self.listener, move || {
            let on_connect = on_connect.clone();
            let app = factory().into_factory().map_err(|error: S::Error| error.into().error_response());
            HttpService::build()
                .client_request_timeout(HEAD_WITHIN)
                .client_disconnect_timeout(close_within)
                .h1_allow_half_closed(half_closed)
                .on_connect_ext(move |stream: &TlsStream<TcpStream>, more: &mut Extensions| {
                    on_connect(stream.get_ref().0, more);
                })
                .h1(map_config(app, |()| AppConfig::default()))
                .rustls_0_23(tls.clone())
        });
        Ok(served.map_err(StartError::Thread)?.run())
    }
}
