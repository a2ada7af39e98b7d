//! One TCP connection at byte level: reads, writes and pauses that notice within milliseconds that the client has gone.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of further requests that are kept while one is being answered; beyond it the socket is no longer read.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// How long a peer that still sends may keep a connection we have closed.
const LINGER: Duration = Duration::from_secs(1);

/// The client closed or reset its side.
#[derive(Debug)]
pub(crate) struct Gone;

pub(crate) struct Conn {
    stream: TcpStream,
    pub(crate) buf: BytesMut,
}

/// Resolves when the client has gone; bytes it sends meanwhile are kept for the next request.
async fn gone(stream: &TcpStream, buf: &mut BytesMut) {
    loop {
        if buf.len() >= AHEAD_BYTES_MAX {
            return std::future::pending().await;
        }
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read_buf(buf) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

impl Conn {
    pub(crate) fn new(stream: TcpStream) -> Conn {
        Conn { stream, buf: BytesMut::with_capacity(4096) }
    }

    /// Reads what has come; 0 at the end of the client's bytes.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.buf).await
    }

    /// Writes all of it, and tells `sent` about every piece the kernel took.
    pub(crate) async fn write(&mut self, mut bytes: &[u8], mut sent: impl FnMut(usize)) -> Result<(), Gone> {
        // A client that reads as fast as we write would otherwise keep this thread to itself. In front, not behind: the end of a request is
        // told as soon as its last byte is out.
        tokio::task::yield_now().await;
        while !bytes.is_empty() {
            tokio::select! {
                biased;
                () = gone(&self.stream, &mut self.buf) => return Err(Gone),
                ready = self.stream.writable() => ready.map_err(|_| Gone)?,
            }
            match self.stream.try_write(bytes) {
                Ok(taken) => {
                    sent(taken);
                    bytes = &bytes[taken..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }

    pub(crate) async fn pause(&mut self, time: Duration) -> Result<(), Gone> {
        if time.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = gone(&self.stream, &mut self.buf) => Err(Gone),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// Silence until the client leaves.
    pub(crate) async fn stall(&mut self) -> Gone {
        gone(&self.stream, &mut self.buf).await;
        Gone
    }

    /// Closes with FIN, and reads on for a moment so that unread bytes do not turn it into a reset.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
        let drain = async {
            loop {
                self.buf.clear();
                if !matches!(self.stream.read_buf(&mut self.buf).await, Ok(taken) if taken > 0) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }

    /// Closes with RST.
    pub(crate) fn reset(self) {
        if let Err(error) = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)) {
            log::warn!("cannot arm a reset: {error}");
        }
    }
}
