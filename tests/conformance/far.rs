//! What stands behind the relay: our WebSocket, or `exai stdio` as a client launches it. Messages go out and come in as they are.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::net::SocketAddr;
use std::process::Stdio;

use actix_http::ws::{Frame, Message};
use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use awc::error::WsClientError;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::server::TOKEN;

/// How messages reach the daemon.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    WebSocket(SocketAddr),
    /// The bridge to the daemon there.
    Stdio(SocketAddr),
}

/// One connection; it ends when the sender is dropped, and has ended when the receiver is.
pub(crate) type Connection = (UnboundedSender<String>, UnboundedReceiver<Value>);

/// Upgrades with the Host and the Origin of the request, or launches a bridge, which has neither; gives the status of a refusal.
pub(crate) async fn open(request: &HttpRequest, way: Way) -> Result<Connection, StatusCode> {
    match way {
        Way::WebSocket(to) => upgrade(request, to).await,
        Way::Stdio(to) => Ok(launch(to)),
    }
}

async fn upgrade(request: &HttpRequest, to: SocketAddr) -> Result<Connection, StatusCode> {
    let mut upgrade = awc::Client::new().ws(format!("http://{to}/mcp")).protocols(["mcp"]).bearer_auth(TOKEN);
    for name in [header::HOST, header::ORIGIN] {
        if let Some(value) = request.headers().get(&name) {
            upgrade = upgrade.set_header(name, value.clone());
        }
    }
    let (_, socket) = upgrade.connect().await.map_err(|error| {
        if let WsClientError::InvalidResponseStatus(status) = error {
            status
        } else {
            StatusCode::BAD_GATEWAY
        }
    })?;
    let (mut sink, mut frames) = socket.split();
    let (to_server, mut said) = unbounded_channel::<String>();
    let (tell, told) = unbounded_channel();
    actix_web::rt::spawn(async move {
        loop {
            let out = tokio::select! {
                text = said.recv() => match text {
                    Some(text) => Message::Text(text.into()),
                    None => break,
                },
                frame = frames.next() => match frame {
                    Some(Ok(Frame::Text(text))) => {
                        tell.send(serde_json::from_slice(&text).unwrap()).ok();
                        continue;
                    }
                    Some(Ok(Frame::Ping(payload))) => Message::Pong(payload),
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => continue,
                },
            };
            if sink.send(out).await.is_err() {
                break;
            }
        }
        sink.close().await.ok();
    });
    Ok((to_server, told))
}

fn launch(to: SocketAddr) -> Connection {
    let home = tempfile::tempdir().unwrap();
    let mut bridge = Command::new(env!("CARGO_BIN_EXE_exai"));
    bridge.arg("stdio").env_clear().env("EXAI_TOKEN", TOKEN).env("EXAI_LISTEN__MCP", to.to_string());
    bridge.env("HOME", home.path());
    bridge.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut bridge = bridge.spawn().unwrap();
    let (mut stdin, stdout) = (bridge.stdin.take().unwrap(), bridge.stdout.take().unwrap());
    let (to_server, mut said) = unbounded_channel::<String>();
    let (tell, told) = unbounded_channel();
    actix_web::rt::spawn(async move {
        while let Some(text) = said.recv().await {
            // A message is one line, however the suite wrote it.
            let line = format!("{}\n", text.replace(['\n', '\r'], " "));
            if stdin.write_all(line.as_bytes()).await.is_err() {
                break;
            }
        }
    });
    actix_web::rt::spawn(async move {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            tell.send(serde_json::from_str(&line).unwrap()).ok();
        }
        // It ends within a second of its input.
        bridge.wait().await.ok();
        drop(home);
    });
    (to_server, told)
}
