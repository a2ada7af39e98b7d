//! A WebSocket client for tests that sends whatever it is told, wrong frames included, and shows every frame it gets.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of the client, as a module of its own"
)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The sample key of RFC 6455 1.3, and the answer that it must get.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Any mask will do.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// First bytes of frames: FIN and opcode (RFC 6455 5.2).
pub const TEXT: u8 = 0x81;
/// A first fragment of text.
pub const TEXT_START: u8 = 0x01;
/// A middle fragment.
pub const CONTINUE: u8 = 0x00;
/// A last fragment.
pub const CONTINUE_END: u8 = 0x80;
/// A whole binary message.
pub const BINARY: u8 = 0x82;
/// Close.
pub const CLOSE: u8 = 0x88;
/// Ping.
pub const PING: u8 = 0x89;
/// Pong.
pub const PONG: u8 = 0x8a;

/// An open connection.
pub struct Ws {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The answer to the upgrade: status line and headers.
    pub head: String,
}

/// What the server answered.
pub enum Opened {
    /// 101.
    Ws(Ws),
    /// Anything else.
    Refused(Answer),
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// Its body.
    pub body: String,
}

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// FIN, reserved bits, opcode.
    pub first: u8,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// The headers of a good upgrade.
pub fn upgrade_headers() -> Vec<(&'static str, &'static str)> {
    vec![
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ]
}

/// Opens a connection with these headers beside those of the upgrade.
pub async fn connect(to: SocketAddr, path: &str, more: &[(&str, &str)]) -> io::Result<Ws> {
    let mut headers = upgrade_headers();
    headers.extend_from_slice(more);
    match open(to, "GET", path, &headers).await? {
        Opened::Ws(ws) if ws.head.contains(ACCEPT) => Ok(ws),
        Opened::Ws(_) => Err(io::Error::other("the server did not answer the key")),
        Opened::Refused(answer) => Err(io::Error::other(format!("refused: {}", answer.head))),
    }
}

/// Sends a request with exactly these headers (and `Host`).
pub async fn open(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Opened> {
    open_with(to, method, path, headers, "").await
}

/// The same, with a body, whose length the headers give.
pub async fn open_with(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Opened> {
    let mut stream = TcpStream::connect(to).await?;
    // Or frames in pieces would wait for the server's acknowledgements.
    stream.set_nodelay(true)?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if patiently(stream.read_buf(&mut buffer)).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    };
    let rest = buffer.split_off(end);
    let head = String::from_utf8_lossy(&buffer).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut ws = Ws { stream, buffer: rest, head };
    if status == 101 {
        return Ok(Opened::Ws(ws));
    }
    let length =
        ws.head.to_ascii_lowercase().split("content-length: ").nth(1).map_or(0, |after| {
            after.split("\r\n").next().and_then(|length| length.parse().ok()).unwrap_or(0)
        });
    let body = ws.take(length).await?;
    Ok(Opened::Refused(Answer { status, head: ws.head, body: String::from_utf8_lossy(&body).into_owned() }))
}

/// A masked frame, as clients send it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The header alone of a masked frame that declares this length.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend(length.to_be_bytes());
    bytes.extend(MASK);
    bytes
}

impl Ws {
    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends one masked frame.
    pub async fn send_frame(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        self.send_raw(&frame(first, payload)).await
    }

    /// Sends one text message.
    pub async fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.send_frame(TEXT, text.as_bytes()).await
    }

    /// Reads at most so many bytes as they are; zero when the server has closed the connection.
    pub async fn read_raw(&mut self, bytes_max: usize) -> io::Result<usize> {
        let mut sink = vec![0; bytes_max];
        patiently(self.stream.read(&mut sink)).await
    }

    /// Starts, or answers, the closing handshake.
    pub async fn send_close(&mut self, code: u16) -> io::Result<()> {
        self.send_frame(CLOSE, &code.to_be_bytes()).await
    }

    /// The next frame; none when the server has closed the connection.
    pub async fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let head = match self.take(2).await {
            Ok(head) => head,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = match head[1] {
            126 => self.take(2).await?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            127 => self.take(8).await?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            short => usize::from(short),
        };
        Ok(Some(Frame { first: head[0], payload: self.take(length).await? }))
    }

    /// The next text; pings on the way are answered.
    pub async fn next_text(&mut self) -> io::Result<String> {
        loop {
            match self.next_frame().await? {
                Some(Frame { first: TEXT, payload }) => {
                    return String::from_utf8(payload).map_err(io::Error::other);
                }
                Some(Frame { first: PING, payload }) => self.send_frame(PONG, &payload).await?,
                Some(Frame { first: PONG, .. }) => {}
                other => return Err(io::Error::other(format!("wanted a text, got {other:?}"))),
            }
        }
    }

    /// Reads up to the server's Close and gives its code; 1005 where it has none, 1006 where the connection just ends.
    pub async fn close_code(&mut self) -> io::Result<u16> {
        loop {
            match self.next_frame().await {
                Ok(Some(Frame { first: CLOSE, payload })) => {
                    return Ok(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(1006),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(1006),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the server has closed the TCP connection within this time; what it sends meanwhile is thrown away.
    pub async fn is_closed_within(&mut self, time: Duration) -> bool {
        let mut sink = [0; 4096];
        let closed = async { while !matches!(self.stream.read(&mut sink).await, Ok(0) | Err(_)) {} };
        tokio::time::timeout(time, closed).await.is_ok()
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if patiently(self.stream.read_buf(&mut self.buffer)).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }
}

async fn patiently<T>(operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, operation).await.unwrap_or(Err(ErrorKind::TimedOut.into()))
}
