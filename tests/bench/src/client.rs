//! One cheap client: a WebSocket whose requests are prebuilt frames, read without a tree. For generating load; `session.rs` is the one
//! for asking this and that.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;

use crate::daemon::TOKEN;
use crate::frame::{self, CLOSE, PING, PONG, TEXT, Template};

/// How long a server may take to open a session.
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// What is read at once.
const READ_BYTES: usize = 16 * 1024;
/// The longest head of the answer to an upgrade.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// An open session. One task reads it, any task may write; nothing here is held across a wait.
pub(crate) struct Client {
    stream: TcpStream,
    outbox: RefCell<BytesMut>,
    asked: RefCell<Asked>,
}

/// What has come and is not read yet.
#[derive(Default)]
pub(crate) struct Inbox(BytesMut);

/// When each open request was due to start, by id. Ids count up, so that the place of one is its distance from the oldest.
struct Asked {
    oldest: u64,
    since: VecDeque<Option<Instant>>,
    open: usize,
}

impl Client {
    /// Connects and shakes hands, as a client of 2025-11-25 does; its requests count from `first_id`.
    pub(crate) async fn open(to: SocketAddr, first_id: u64) -> io::Result<(Self, Inbox)> {
        let opened = tokio::time::timeout(OPEN_WITHIN, Self::shake_hands(to, first_id)).await;
        opened.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }

    async fn shake_hands(to: SocketAddr, first_id: u64) -> io::Result<(Self, Inbox)> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let asked = Asked { oldest: first_id, since: VecDeque::new(), open: 0 };
        let outbox = RefCell::default();
        let client = Self { stream, outbox, asked: RefCell::new(asked) };
        let mut inbox = Inbox::default();
        // The sample key of RFC 6455 1.3: nobody replays what a generator says.
        client.push(format!(
            "GET /mcp HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mcp\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        ).as_bytes());
        client.flush().await?;
        while !inbox.take_head()? {
            client.fill(&mut inbox).await?;
        }
        let hello = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"exai-bench","version":"1"}}}"#;
        client.say(TEXT, hello);
        client.flush().await?;
        while client.next(&mut inbox)?.is_none() {
            client.fill(&mut inbox).await?;
        }
        client.say(TEXT, br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        client.flush().await?;
        Ok((client, inbox))
    }

    /// Puts a request in the outbox; its time counts from `due`. Gives its id.
    pub(crate) fn ask(&self, template: &Template, due: Instant) -> u64 {
        let id = self.asked.borrow_mut().ask(due);
        template.stamp(id, &mut self.outbox.borrow_mut());
        id
    }

    /// Notes that this one is answered: when it was due to start, none where it was not asked or is answered already.
    pub(crate) fn answered(&self, id: u64) -> Option<Instant> {
        self.asked.borrow_mut().answered(id)
    }

    /// Requests that are not answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.asked.borrow().open
    }

    /// Writes the outbox to its end; harmless while another task does.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        loop {
            let written = {
                let mut outbox = self.outbox.borrow_mut();
                if outbox.is_empty() {
                    return Ok(());
                }
                self.stream.try_write(&outbox).map(|length| outbox.advance(length))
            };
            match written {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for bytes.
    pub(crate) async fn fill(&self, inbox: &mut Inbox) -> io::Result<()> {
        loop {
            inbox.0.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut inbox.0) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // A buffer is held only while there is something in it: idle sessions are many.
                    if inbox.0.is_empty() {
                        inbox.0 = BytesMut::new();
                    }
                    self.stream.readable().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The next whole message that is here. The pong to a ping goes to the outbox.
    pub(crate) fn next(&self, inbox: &mut Inbox) -> io::Result<Option<Bytes>> {
        while let Some((first, payload)) = inbox.take_frame() {
            match first {
                TEXT => return Ok(Some(payload)),
                PING => self.say(PONG, &payload),
                PONG => {}
                CLOSE => return Err(io::Error::other("the server closed the session")),
                other => return Err(io::Error::other(format!("an unexpected frame {other:#x}"))),
            }
        }
        Ok(None)
    }

    fn say(&self, first: u8, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, first, payload);
        self.push(&bytes);
    }

    fn push(&self, bytes: &[u8]) {
        self.outbox.borrow_mut().extend_from_slice(bytes);
    }
}

impl Inbox {
    fn take_frame(&mut self) -> Option<(u8, Bytes)> {
        let (head, length) = frame::lengths(&self.0)?;
        if self.0.len() < head + length {
            return None;
        }
        let first = self.0[0];
        self.0.advance(head);
        Some((first, self.0.split_to(length).freeze()))
    }

    /// Takes the head of the answer to an upgrade; false while it is cut.
    fn take_head(&mut self) -> io::Result<bool> {
        let Some(end) = memchr::memmem::find(&self.0, b"\r\n\r\n") else {
            return if self.0.len() < HEAD_BYTES_MAX {
                Ok(false)
            } else {
                Err(ErrorKind::InvalidData.into())
            };
        };
        let head = self.0.split_to(end + 4);
        if head.starts_with(b"HTTP/1.1 101 ") {
            return Ok(true);
        }
        let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
        Err(io::Error::other(format!("the upgrade was answered {line}")))
    }
}

impl Asked {
    fn ask(&mut self, due: Instant) -> u64 {
        self.since.push_back(Some(due));
        self.open += 1;
        self.oldest + self.since.len() as u64 - 1
    }

    fn answered(&mut self, id: u64) -> Option<Instant> {
        let place = usize::try_from(id.checked_sub(self.oldest)?).ok()?;
        let due = self.since.get_mut(place)?.take()?;
        self.open -= 1;
        while let Some(None) = self.since.front() {
            self.since.pop_front();
            self.oldest += 1;
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_answered_once_in_any_order() {
        let mut asked = Asked { oldest: 100, since: VecDeque::new(), open: 0 };
        let now = Instant::now();
        let ids: Vec<u64> = (0..3).map(|n| asked.ask(now + Duration::from_secs(n))).collect();
        assert_eq!(ids, [100, 101, 102]);
        assert_eq!(asked.answered(102), Some(now + Duration::from_secs(2)));
        assert_eq!(asked.answered(102), None);
        assert_eq!(asked.answered(100), Some(now));
        assert_eq!((asked.oldest, asked.open), (101, 1));
        assert_eq!((asked.answered(100), asked.answered(999)), (None, None));
        assert_eq!(asked.ask(now), 103);
        assert_eq!(asked.answered(101), Some(now + Duration::from_secs(1)));
        assert_eq!((asked.oldest, asked.open), (103, 1));
    }
}
