//! Connections that ask for an upgrade. The application answers them like any request, and from there on its answer's body and the
//! socket are all there is: the library's own dispatcher would keep two buffers of 8 KiB for as long as a WebSocket is open, and most of
//! them are idle most of the time. Knows nothing of WebSocket.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_codec::{AsyncRead, AsyncWrite, Encoder, Framed};
use actix_http::body::{BoxBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::h1::{Codec, Message};
use actix_http::{ConnectionType, Payload, Request, Response};
use actix_service::{Service, ServiceFactory, fn_factory, fn_service};
use actix_web::Error;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::ReadBuf;

/// What may wait to be written before the answer's body is asked for more.
const OUT_BYTES_MAX: usize = 32 * 1024;
/// What is read at a time.
const READ_BYTES_MAX: usize = 16 * 1024;
/// How often what nobody wants is read before the socket is closed.
const DISCARD_READS_MAX: u32 = 64;

thread_local! {
    /// Every connection of a thread reads here, and keeps only what came.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into());
}

/// Has `app` answer the requests of such connections.
pub(super) fn by<T, S, B>(
    app: S,
) -> impl ServiceFactory<
    (Request, Framed<T, Codec>),
    Config = (),
    Response = (),
    Error = Error,
    InitError = S::InitError,
    Future: 'static,
>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    S: ServiceFactory<Request, Config = (), Error = Response<BoxBody>> + 'static,
    S::Future: 'static,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    fn_factory(move || {
        let app = app.new_service(());
        async move {
            let app = Rc::new(app.await?);
            Ok(fn_service(move |(request, framed): (Request, Framed<T, Codec>)| {
                let parts = framed.into_parts();
                let (io, first) = (Rc::new(RefCell::new(parts.io)), Bytes::copy_from_slice(&parts.read_buf));
                let heard = Heard { io: Rc::clone(&io), first, ended: false };
                let payload = Payload::Stream { payload: Box::pin(heard) as _ };
                let called = app.call(request.replace_payload(payload).0);
                let (codec, out) = (parts.codec, parts.write_buf);
                // Boxed: it is done when the handshake is, and the connection goes on.
                let answered = Box::pin(async move {
                    let answer = called.await.map(|answer| answer.into().map_into_boxed_body());
                    Upgraded::answered(io, codec, out, answer.unwrap_or_else(|refusal| refusal))
                });
                async move {
                    // An error is the end of a connection, which its session tells if anybody has to know.
                    if let Ok(upgraded) = answered.await {
                        upgraded.await.ok();
                    }
                    Ok::<_, Error>(())
                }
            }))
        }
    })
}

/// What the client says, as the payload of its request.
struct Heard<T> {
    io: Rc<RefCell<T>>,
    /// What came behind the head.
    first: Bytes,
    ended: bool,
}

impl<T: AsyncRead + Unpin> Stream for Heard<T> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut this.first))));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut scratch = ReadBuf::new(scratch);
            let read = ready!(Pin::new(&mut *this.io.borrow_mut()).poll_read(task, &mut scratch));
            // What has no length of its own is never whole when the connection ends.
            let heard = match read {
                Ok(()) if scratch.filled().is_empty() => Err(PayloadError::Incomplete(None)),
                Ok(()) => Ok(Bytes::copy_from_slice(scratch.filled())),
                Err(error) => Err(PayloadError::Io(error)),
            };
            this.ended = heard.is_err();
            Poll::Ready(Some(heard))
        })
    }
}

/// A connection from its answer on: writes what the answer's body gives, until that or the connection ends.
struct Upgraded<T> {
    io: Rc<RefCell<T>>,
    codec: Codec,
    body: Option<BoxBody>,
    /// What was not written yet; it has room only while there is any.
    out: BytesMut,
    /// What a client says that is not upgraded.
    unheard: Option<Heard<T>>,
}

impl<T> Upgraded<T> {
    /// Begins with what was written before, and the answer's head.
    fn answered(
        io: Rc<RefCell<T>>,
        mut codec: Codec,
        mut out: BytesMut,
        answer: Response<BoxBody>,
    ) -> io::Result<Self> {
        let (mut head, body) = answer.into_parts();
        let is_upgraded = head.upgrade();
        if !is_upgraded {
            // Where the payload ends and the next request begins, nobody can tell.
            head.head_mut().set_connection_type(ConnectionType::Close);
        }
        codec.encode(Message::Item((head, body.size())), &mut out)?;
        let unheard = (!is_upgraded).then(|| Heard { io: Rc::clone(&io), first: Bytes::new(), ended: false });
        Ok(Self { io, codec, body: Some(body), out, unheard })
    }

    /// Takes from the body what there is room for.
    fn fill(&mut self, task: &mut Context<'_>) -> io::Result<()> {
        while self.out.len() < OUT_BYTES_MAX
            && let Some(body) = &mut self.body
            && let Poll::Ready(chunk) = Pin::new(body).poll_next(task)
        {
            let chunk = chunk.transpose().map_err(|error| io::Error::other(error.to_string()))?;
            if chunk.is_none() {
                self.body = None;
            }
            self.codec.encode(Message::Chunk(chunk), &mut self.out)?;
        }
        Ok(())
    }
}

impl<T: AsyncRead + Unpin> Upgraded<T> {
    /// Reads what has come and nobody wants: a socket that is closed before is reset, and the peer may never see what was written last.
    fn discard(&mut self, task: &mut Context<'_>) {
        let mut rest = Heard { io: Rc::clone(&self.io), first: Bytes::new(), ended: false };
        for _ in 0..DISCARD_READS_MAX {
            let Poll::Ready(Some(Ok(_))) = Pin::new(&mut rest).poll_next(task) else { return };
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Upgraded<T> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.fill(task)?;
            if this.out.is_empty() {
                break;
            }
            let written = ready!(Pin::new(&mut *this.io.borrow_mut()).poll_write(task, &this.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.out.advance(written);
            if this.out.is_empty() {
                this.out = BytesMut::new();
            }
        }
        ready!(Pin::new(&mut *this.io.borrow_mut()).poll_flush(task))?;
        if this.body.is_none() {
            this.discard(task);
            return Pin::new(&mut *this.io.borrow_mut()).poll_shutdown(task);
        }
        // Whom nobody listens to may still go away.
        while let Some(heard) = &mut this.unheard {
            if !matches!(ready!(Pin::new(heard).poll_next(task)), Some(Ok(_))) {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }
}
