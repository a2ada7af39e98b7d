//! A WebSocket client of the fewest lines (RFC 6455): whole text frames, pongs to pings, the close code. Waiting for the next message
//! may be given up at any time without losing a byte. Beside it stands one plain HTTP request.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The sample key of RFC 6455 1.3: the storm never reads what a cache could replay.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Any mask will do.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// How long a server may take to open a connection or to answer a plain request.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest message that a server may send: a defect beyond it.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// An open connection.
pub(crate) struct Ws {
    stream: TcpStream,
    buffer: BytesMut,
}

/// What a server said.
#[derive(Debug)]
pub(crate) enum Said {
    /// A message.
    Text(Vec<u8>),
    /// It closes: the code, 1005 where it names none, 1006 where the connection just ends.
    Close(u16),
}

impl Ws {
    /// Opens a connection to `/mcp` with this token.
    pub(crate) async fn connect(to: SocketAddr, token: &str) -> io::Result<Self> {
        let head = format!(
            "GET /mcp HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: mcp\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        let (status, stream, buffer) = request(to, &head).await?;
        if status != 101 {
            return Err(io::Error::other(format!("the upgrade was answered {status}")));
        }
        Ok(Self { stream, buffer })
    }

    /// Sends one text message.
    pub(crate) async fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&frame(TEXT, text.as_bytes())).await
    }

    /// The next message; pings on the way are answered.
    pub(crate) async fn next(&mut self) -> io::Result<Said> {
        loop {
            while let Some((first, payload)) = self.parse()? {
                match first {
                    TEXT => return Ok(Said::Text(payload)),
                    CLOSE => {
                        let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                        // The server may be gone before it reads the answer.
                        let _ = self.stream.write_all(&frame(CLOSE, &payload)).await;
                        return Ok(Said::Close(code));
                    }
                    PING => self.stream.write_all(&frame(PONG, &payload)).await?,
                    PONG => {}
                    other => return Err(io::Error::other(format!("an unexpected frame {other:#x}"))),
                }
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Ok(Said::Close(1006)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Said::Close(1006)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends the connection without a word: by a reset, as a machine that is switched off and on again does.
    pub(crate) fn reset(self) {
        // Where that cannot be, a plain end is rude enough.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    fn parse(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let [first, short, ..] = self.buffer[..] else { return Ok(None) };
        let (head, length) = match short & 0x7f {
            126 if self.buffer.len() >= 4 => (4, self.buffer[2..4].iter().fold(0, fold_byte)),
            127 if self.buffer.len() >= 10 => (10, self.buffer[2..10].iter().fold(0, fold_byte)),
            126 | 127 => return Ok(None),
            length => (2, usize::from(length)),
        };
        if length > MESSAGE_BYTES_MAX {
            return Err(io::Error::other("a message beyond every limit"));
        }
        if self.buffer.len() < head + length {
            return Ok(None);
        }
        self.buffer.advance(head);
        Ok(Some((first, self.buffer.split_to(length).to_vec())))
    }
}

fn fold_byte(length: usize, byte: &u8) -> usize {
    length << 8 | usize::from(*byte)
}

/// A masked frame, as clients send it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap_or(0)),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).unwrap_or(0).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend(u64::try_from(length).unwrap_or(0).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Sends a request without a body and tells its status.
pub(crate) async fn http(to: SocketAddr, method: &str, path: &str, token: &str) -> io::Result<u16> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    request(to, &head).await.map(|(status, ..)| status)
}

/// Reads a whole answer: its status and its body.
pub(crate) async fn get(to: SocketAddr, path: &str, token: &str) -> io::Result<(u16, String)> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let (status, mut stream, mut buffer) = request(to, &head).await?;
    let whole = async {
        while buffer.len() <= MESSAGE_BYTES_MAX && stream.read_buf(&mut buffer).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::time::timeout(OPEN_WITHIN, whole).await.unwrap_or(Err(ErrorKind::TimedOut.into()))?;
    Ok((status, String::from_utf8_lossy(&buffer).into_owned()))
}

async fn request(to: SocketAddr, head: &str) -> io::Result<(u16, TcpStream, BytesMut)> {
    let asked = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        stream.write_all(head.as_bytes()).await?;
        let mut buffer = BytesMut::new();
        loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = buffer.split_to(end + 4);
                let head = String::from_utf8_lossy(&head);
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
                return Ok((status, stream, buffer));
            }
            if buffer.len() > HEAD_BYTES_MAX || stream.read_buf(&mut buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    };
    tokio::time::timeout(OPEN_WITHIN, asked).await.unwrap_or(Err(ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_whole_however_the_bytes_are_cut() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let mut ws = Ws { stream: near, buffer: BytesMut::new() };
        let long = vec![b'x'; 70_000];
        let mut bytes = vec![TEXT, 2, b'o', b'k', PING, 0, TEXT, 127];
        bytes.extend(70_000_u64.to_be_bytes());
        bytes.extend(&long);
        bytes.extend([CLOSE, 2, 3, 233]);
        tokio::spawn(async move {
            for piece in bytes.chunks(997) {
                far.write_all(piece).await.unwrap();
            }
            let mut pong = [0; 6];
            far.read_exact(&mut pong).await.unwrap();
            assert_eq!(pong[..2], [PONG, 0x80]);
        });
        assert!(matches!(ws.next().await.unwrap(), Said::Text(text) if text == b"ok"));
        assert!(matches!(ws.next().await.unwrap(), Said::Text(text) if text == long));
        assert!(matches!(ws.next().await.unwrap(), Said::Close(1001)));
    }
}
