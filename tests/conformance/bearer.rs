//! A proxy that adds the token, which the suite cannot: everything else of a request, Host and Origin too, goes through as it came.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::net::SocketAddr;

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::server::TOKEN;

/// Starts one in front of `to`.
pub(crate) async fn start(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    actix_web::rt::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // A side that goes away ends the exchange, as it would without a proxy.
            actix_web::rt::spawn(async move { exchange(client, to).await.ok() });
        }
    });
    at
}

/// One request and its response; then the connection closes, so that no other request hides behind the first.
async fn exchange(mut client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut got = Vec::new();
    let end = loop {
        if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if client.read_buf(&mut got).await? == 0 {
            return Ok(());
        }
    };
    let body = got.split_off(end);
    let head = String::from_utf8_lossy(&got);
    let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = kept.collect::<Vec<_>>().join("\r\n");
    let mut server = TcpStream::connect(to).await?;
    let head = format!("{head}\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}");
    server.write_all(head.as_bytes()).await?;
    server.write_all(&body).await?;
    io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
