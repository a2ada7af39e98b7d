//! A connection on which what is written is with the kernel. TLS keeps what it has sealed and the kernel does not take, and calls it
//! written; whoever asks a body for more once nothing waits would ask too early.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_codec::{AsyncRead, AsyncWrite};
use tokio::io::ReadBuf;

/// Writes through to the end of `io`. Who finds it pending comes back with what it had, as with any writer.
pub(super) struct Through<T> {
    io: T,
    /// Bytes that `io` has and may not have written yet.
    taken: usize,
}

impl<T> Through<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, taken: 0 }
    }

    pub(super) fn get_ref(&self) -> &T {
        &self.io
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Through<T> {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.taken == 0 {
            this.taken = ready!(Pin::new(&mut this.io).poll_write(task, bytes))?;
        }
        ready!(Pin::new(&mut this.io).poll_flush(task))?;
        Poll::Ready(Ok(std::mem::take(&mut this.taken)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(task)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Through<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(task, into)
    }
}
