//! What only Unix does: file modes and signals. Everything that another system must do in its own way stands here.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Makes a folder, and those above it, that only this user can enter. An existing folder is left as it is.
pub(crate) fn make_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whether only the file's owner can read or write it.
pub(crate) fn is_private(file: &Metadata) -> bool {
    file.mode() & 0o077 == 0
}

/// Makes this process the head of a session of its own, which no terminal and no parent's group can end.
pub(crate) fn leave_session() -> io::Result<()> {
    rustix::process::setsid().map(drop).map_err(io::Error::from)
}

/// The process that this one was started by; another one (init, or a reaper) once that has ended.
pub(crate) fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

/// Opens a file to write at its end, which only its owner can read.
pub(crate) fn append_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// The requests to end: SIGTERM of a supervisor, SIGINT of a terminal.
#[derive(Debug)]
pub(crate) struct EndRequests {
    terminate: Signal,
    interrupt: Signal,
}

impl EndRequests {
    /// Listens from here on; the signals no longer end the process by themselves. Needs a running tokio runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one. A second one, while EXAI drains, means: at once.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// What comes of `work`; none if the next one comes before.
    pub(crate) async fn before<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.next() => None,
        }
    }
}

/// The requests to read the settings again: SIGHUP.
#[derive(Debug)]
pub(crate) struct Hangups(Signal);

impl Hangups {
    /// Listens from here on; the signal no longer ends the process. Needs a running tokio runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one; false when none can come any more.
    pub(crate) async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}
