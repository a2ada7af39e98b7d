//! Browsers that watch `/feed` while calls are made: on a thread of their own, so that what they read is not the generator's work. They
//! answer no ping, so a measurement ends within 30 s.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::daemon::TOKEN;
use crate::load::on_one_thread;

/// Open browsers.
pub(crate) struct Watchers {
    stop: watch::Sender<bool>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Watchers {
    /// Opens so many; returns once each has the whole picture.
    pub(crate) fn open(dashboard: SocketAddr, count: usize) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (up, is_up) = std::sync::mpsc::channel();
        let watch = move || {
            on_one_thread(async move {
                let mut browsers = JoinSet::new();
                for _ in 0..count {
                    let opened = open(dashboard).await;
                    browsers.spawn_local(read(opened?, stopped.clone()));
                }
                // Whoever opened them may have given up.
                let _ = up.send(());
                let mut bytes = 0;
                while let Some(read) = browsers.join_next().await {
                    bytes += read.map_err(io::Error::other)??;
                }
                Ok(bytes)
            })?
        };
        let thread = std::thread::Builder::new().name("watchers".to_owned()).spawn(watch)?;
        if is_up.recv().is_ok() {
            return Ok(Self { stop, thread });
        }
        let ended = thread.join().map_err(|_| io::Error::other("the watchers panicked"))?;
        Err(ended.err().unwrap_or_else(|| io::Error::other("the watchers ended")))
    }

    /// Closes them; the bytes that they have read. Fails where one was closed before.
    pub(crate) fn close(self) -> io::Result<u64> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|_| io::Error::other("the watchers panicked"))?
    }
}

async fn open(dashboard: SocketAddr) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(dashboard).await?;
    let upgrade = format!(
        "GET /feed HTTP/1.1\r\nHost: {dashboard}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(upgrade.as_bytes()).await?;
    let mut head = [0; 12];
    socket.read_exact(&mut head).await?;
    if &head == b"HTTP/1.1 101" { Ok(socket) } else { Err(io::Error::other("/feed does not open")) }
}

async fn read(mut socket: TcpStream, mut stopped: watch::Receiver<bool>) -> io::Result<u64> {
    let (mut bytes, mut buffer) = (0, vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return Ok(bytes),
            read = socket.read(&mut buffer) => match read? {
                0 => return Err(io::Error::other("a browser was dropped")),
                read => bytes += read as u64,
            },
        }
    }
}
