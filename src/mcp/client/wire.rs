//! The client's WebSocket: one JSON-RPC object a text frame, both ways, through bounded channels. It understands no message.

use std::io::ErrorKind;
use std::time::Duration;

use actix_http::ws::{CloseCode, Frame, Message, ProtocolError};
use awc::error::{ConnectError, SendRequestError, WsClientError};
use awc::http::Version;
use bytes::Bytes;
use futures_util::stream;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::PollSender;
use url::Url;

use super::ClientError;
use crate::security::Token;
use crate::tls::Trust;

/// Messages that may wait in either direction.
const WAITING_MAX: usize = 64;
/// The largest message of the server's.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The server pings every 30 s; a connection that is silent for three times that is dead.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// How long the server may take to answer the upgrade.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Opens the socket and gives its two ends as rmcp wants them, and the task that writes: it ends once everything is on its way.
/// Needs the actix system of this thread.
pub(super) async fn open(
    url: &Url,
    token: &Token,
    tls: Option<Trust>,
) -> Result<
    (
        impl Sink<ClientJsonRpcMessage, Error: std::error::Error + Send + Sync + 'static> + Send + Unpin + 'static,
        impl Stream<Item = ServerJsonRpcMessage> + Send + Unpin + 'static,
        JoinHandle<()>,
    ),
    ClientError,
> {
    let target = shown(url);
    let client = http_client(CONNECT_WITHIN, tls);
    let upgrade = client
        .ws(target.as_str())
        .protocols(["mcp"])
        .bearer_auth(url.password().unwrap_or(token.reveal()))
        .max_frame_size(MESSAGE_BYTES_MAX);
    let (_, socket) = upgrade.connect().await.map_err(|error| worded(target, &error))?;
    let (sink, stream) = socket.split();
    let (to_server, outgoing) = mpsc::channel(WAITING_MAX);
    let (to_client, mut incoming) = mpsc::channel(WAITING_MAX);
    let (to_writer, pongs) = mpsc::channel(WAITING_MAX);
    let writer = actix_rt::spawn(write(sink, outgoing, pongs));
    actix_rt::spawn(read(stream, to_client, to_writer));
    Ok((PollSender::new(to_server), stream::poll_fn(move |task| incoming.poll_recv(task)), writer))
}

/// A client of HTTP and WebSocket that waits this long for an answer; without `tls` it trusts the usual authorities.
pub(crate) fn http_client(within: Duration, tls: Option<Trust>) -> awc::Client {
    let builder = awc::Client::builder().timeout(within).disable_redirects();
    match tls {
        // Asked for a version, awc would put a TLS of its own in the place of this one, which offers HTTP/1.1 alone already.
        Some(tls) => builder.connector(awc::Connector::new().rustls_0_23(tls)).finish(),
        None => builder.max_http_version(Version::HTTP_11).finish(),
    }
}

/// The address without its user and password.
pub(super) fn shown(url: &Url) -> Url {
    let mut shown = url.clone();
    // These fail on addresses without a host alone, which have neither.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown
}

async fn write(
    mut socket: impl Sink<Message> + Unpin,
    mut outgoing: mpsc::Receiver<ClientJsonRpcMessage>,
    mut pongs: mpsc::Receiver<Bytes>,
) {
    loop {
        let message = tokio::select! {
            Some(ping) = pongs.recv() => Message::Pong(ping),
            message = outgoing.recv() => match message.as_ref().map(serde_json::to_string) {
                Some(Ok(text)) => Message::Text(text.into()),
                Some(Err(_)) => continue,
                None => break,
            },
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
    // We are done; if the server cannot hear that any more, it is done too.
    let _ = socket.send(Message::Close(Some(CloseCode::Normal.into()))).await;
}

/// Ends, and with it the client's stream, when the server closes, breaks the protocol or falls silent.
async fn read(
    mut socket: impl Stream<Item = Result<Frame, ProtocolError>> + Unpin,
    to_client: mpsc::Sender<ServerJsonRpcMessage>,
    to_writer: mpsc::Sender<Bytes>,
) {
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE_MAX, socket.next()).await {
        let told = match frame {
            Frame::Text(text) => match serde_json::from_slice(&text) {
                Ok(message) => to_client.send(message).await.is_ok(),
                Err(_) => false,
            },
            Frame::Ping(ping) => to_writer.send(ping).await.is_ok(),
            Frame::Pong(_) => true,
            // The binding is one unfragmented text frame a message.
            Frame::Binary(_) | Frame::Continuation(_) | Frame::Close(_) => false,
        };
        if !told {
            return;
        }
    }
}

fn worded(url: Url, error: &WsClientError) -> ClientError {
    if let WsClientError::SendRequest(SendRequestError::Connect(ConnectError::Io(io))) = error {
        // What rustls refuses comes as an error of input and output.
        if io.kind() == ErrorKind::InvalidData {
            return ClientError::Foreign {
                url,
                problem: format!("TLS failed: {io}; look at listen.tls_cert"),
            };
        }
        return ClientError::NoDaemon(url);
    }
    if let WsClientError::SendRequest(
        SendRequestError::Timeout
        | SendRequestError::Connect(
            ConnectError::Resolver(_)
            | ConnectError::NoRecords
            | ConnectError::Unresolved
            | ConnectError::Timeout,
        ),
    ) = error
    {
        return ClientError::Unreachable { url, problem: error.to_string() };
    }
    let WsClientError::InvalidResponseStatus(status) = error else {
        return ClientError::Foreign { url, problem: error.to_string() };
    };
    let hint = match status.as_u16() {
        401 => "the token is wrong; `exai token` prints the right one (EXAI_TOKEN)",
        403 => "it does not go by that name; see listen.allowed_hosts",
        429 | 503 => "it takes no more connections just now",
        _ => "it opens no WebSocket there; the path is /mcp",
    };
    ClientError::Refused { url, status: status.as_u16(), hint }
}
