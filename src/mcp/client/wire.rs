//! The client's WebSocket: one JSON-RPC object a text frame, both ways, through bounded channels. It understands no message: who opens
//! it says how they are written and read.

use std::io::ErrorKind;
use std::time::Duration;

use actix_http::ws::{CloseCode, Frame, Message, ProtocolError};
use awc::error::{ConnectError, SendRequestError, WsClientError};
use awc::http::{StatusCode, Version};
use bytes::Bytes;
use futures_util::stream;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
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
/// The largest refusal, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// How long the server may take to answer the upgrade.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a person's connection may be silent: far away a long answer is long on its way.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// An open socket.
pub(crate) struct Wire<Out, In> {
    /// Where messages for the server go in. Once nobody has it any more the socket is closed.
    pub(crate) to_server: mpsc::Sender<Out>,
    /// Where the server's messages come out; it ends when the socket does.
    pub(crate) from_server: mpsc::Receiver<In>,
    /// The task that writes; it ends once everything is on its way.
    pub(crate) writer: JoinHandle<()>,
}

/// How messages are written; none for one that cannot be.
type Encode<Out> = fn(Out) -> Option<String>;
/// How messages are read; none for one that the server should not have sent, which ends the connection.
type Decode<In> = fn(&Bytes) -> Option<In>;

/// Opens the socket. Needs the actix system of this thread. A server that says nothing for half of `silence_max` is pinged, and one that
/// says nothing for all of it is gone; another value counts from its setting on.
pub(crate) async fn open<Out: 'static, In: 'static>(
    url: &Url,
    token: &Token,
    tls: Option<Trust>,
    silence_max: watch::Receiver<Duration>,
    (encode, decode): (Encode<Out>, Decode<In>),
) -> Result<Wire<Out, In>, ClientError> {
    let target = shown(url);
    let client = http_client(CONNECT_WITHIN, tls);
    let bearer = url.password().unwrap_or(token.reveal());
    let upgrade =
        client.ws(target.as_str()).protocols(["mcp"]).bearer_auth(bearer).max_frame_size(MESSAGE_BYTES_MAX);
    let (_, socket) = match upgrade.connect().await {
        Ok(open) => open,
        Err(WsClientError::InvalidResponseStatus(StatusCode::FORBIDDEN)) => {
            let hint = refused(&client, &target, bearer).await;
            return Err(ClientError::Refused { url: target, status: StatusCode::FORBIDDEN.as_u16(), hint });
        }
        Err(error) => return Err(worded(target, &error)),
    };
    let (sink, stream) = socket.split();
    let (to_server, outgoing) = mpsc::channel(WAITING_MAX);
    let (to_client, from_server) = mpsc::channel(WAITING_MAX);
    let (to_writer, control) = mpsc::channel(WAITING_MAX);
    let writer = actix_rt::spawn(write(sink, outgoing, encode, control));
    actix_rt::spawn(read(stream, silence_max, to_client, decode, to_writer));
    Ok(Wire { to_server, from_server, writer })
}

/// The two ends of a socket as rmcp wants them, and the task that writes.
pub(super) async fn open_for_engine(
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
    let encode: Encode<ClientJsonRpcMessage> = |message| serde_json::to_string(&message).ok();
    let decode: Decode<ServerJsonRpcMessage> = |text| serde_json::from_slice(text).ok();
    let opened = open(url, token, tls, watch::channel(SILENCE_MAX).1, (encode, decode)).await?;
    let Wire { to_server, mut from_server, writer } = opened;
    Ok((PollSender::new(to_server), stream::poll_fn(move |task| from_server.poll_recv(task)), writer))
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

async fn write<Out>(
    mut socket: impl Sink<Message> + Unpin,
    mut outgoing: mpsc::Receiver<Out>,
    encode: Encode<Out>,
    mut control: mpsc::Receiver<Message>,
) {
    loop {
        let message = tokio::select! {
            Some(message) = control.recv() => message,
            message = outgoing.recv() => match message.map(encode) {
                Some(Some(text)) => Message::Text(text.into()),
                Some(None) => continue,
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
async fn read<In>(
    mut socket: impl Stream<Item = Result<Frame, ProtocolError>> + Unpin,
    mut silence_max: watch::Receiver<Duration>,
    to_client: mpsc::Sender<In>,
    decode: Decode<In>,
    to_writer: mpsc::Sender<Message>,
) {
    let mut pinged = false;
    loop {
        let half = *silence_max.borrow_and_update() / 2;
        let frame = tokio::select! {
            heard = socket.next() => match heard {
                Some(Ok(frame)) => frame,
                Some(Err(_)) | None => return,
            },
            Ok(()) = silence_max.changed() => {
                pinged = false;
                continue;
            }
            () = tokio::time::sleep(half) => {
                if pinged {
                    return;
                }
                pinged = true;
                // Where so much waits to be sent, what the server makes of that tells as much.
                let _ = to_writer.try_send(Message::Ping(Bytes::new()));
                continue;
            }
        };
        pinged = false;
        let told = match frame {
            Frame::Text(text) => match decode(&text) {
                Some(message) => to_client.send(message).await.is_ok(),
                None => false,
            },
            Frame::Ping(ping) => to_writer.send(Message::Pong(ping)).await.is_ok(),
            Frame::Pong(_) => true,
            // The binding is one unfragmented text frame a message.
            Frame::Binary(_) | Frame::Continuation(_) | Frame::Close(_) => false,
        };
        if !told {
            return;
        }
    }
}

/// Why the server refuses us. Of a refused upgrade awc keeps the status alone, so it is asked once more without one.
async fn refused(client: &awc::Client, url: &Url, bearer: &str) -> &'static str {
    let mut plain = url.clone();
    // It fails for addresses that no upgrade could have gone to.
    let _ = plain.set_scheme(if url.scheme() == "wss" { "https" } else { "http" });
    let body = match client.get(plain.as_str()).bearer_auth(bearer).send().await {
        Ok(mut response) => response.body().limit(REFUSAL_BYTES_MAX).await.unwrap_or_default(),
        Err(_) => Bytes::new(),
    };
    let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    match body["error"]["detail"]["refused"].as_str() {
        Some("scope") => {
            "the token does not open this; use one that has the scope: `exai token add NAME --scope client`"
        }
        Some("host") => "it does not go by that name; see listen.allowed_hosts",
        Some("origin") => "pages of that origin may not use it; see listen.allowed_origins",
        Some(_) | None => {
            "it lets us not in, and does not say why; see listen.allowed_hosts and the token's scopes"
        }
    }
}

fn worded(url: Url, error: &WsClientError) -> ClientError {
    if let WsClientError::SendRequest(SendRequestError::Connect(ConnectError::Io(io))) = error {
        // Only who is refused knows that nobody listens.
        if io.kind() == ErrorKind::ConnectionRefused {
            return ClientError::NoDaemon(url);
        }
        // What rustls refuses, and a server that hangs up on it, come as errors of input and output.
        if matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
        {
            return ClientError::Foreign {
                url,
                problem: format!("TLS failed: {io}; look at listen.tls_cert"),
            };
        }
        return ClientError::Unreachable { url, problem: io.to_string() };
    }
    if let WsClientError::SendRequest(
        SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout),
    ) = error
    {
        return ClientError::Silent(url);
    }
    if let WsClientError::SendRequest(SendRequestError::Connect(
        ConnectError::Resolver(_) | ConnectError::NoRecords | ConnectError::Unresolved,
    )) = error
    {
        return ClientError::Unreachable { url, problem: error.to_string() };
    }
    let WsClientError::InvalidResponseStatus(status) = error else {
        return ClientError::Foreign { url, problem: error.to_string() };
    };
    let hint = match status.as_u16() {
        401 => "the token is wrong; `exai token` prints the right one (EXAI_TOKEN)",
        429 | 503 => "it takes no more connections just now",
        _ => "it opens no WebSocket there; the path is /mcp",
    };
    ClientError::Refused { url, status: status.as_u16(), hint }
}
