//! The daemon behind the bridge: connects to it, and starts one where there is none. However many bridges look for one at the same
//! time, a file lock lets one of them start it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use exai_actors::clock;
use tokio::sync::watch;
use url::Url;

use super::ledger;
use crate::cli::target;
use crate::config::{Config, Inputs};
use crate::mcp::client::ClientError;
use crate::mcp::client::wire::{self, Wire};
use crate::security::{Token, TokenError};
use crate::tls::Trust;
use crate::unix;

/// How long a daemon may take to listen: it brings the database up to date first.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether it listens.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it may take to answer a handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long it may say nothing, not even to a ping, while somebody waits: no longer than this, and then until it is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// While nobody does: its own pings, each 30 s, come before half of it, so that an idle bridge sends none.
const IDLE_SILENCE_MAX: Duration = Duration::from_secs(70);
/// The log that a new daemon goes on with, at most; a longer one is put aside.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How much of the log's end is searched for why a daemon ended.
const LOG_READ_BYTES: u64 = 64 * 1024;

/// A connection that is ready for what the client asks.
pub(super) type Connection = Wire<String, String>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Down {
    #[error("there is no connection")]
    Client(#[from] ClientError),
    #[error("the token cannot be had")]
    Token(#[from] TokenError),
    /// The handshake that the client once made is not taken again.
    #[error("the server at {0} does not repeat its handshake")]
    Handshake(Url),
    #[error("another bridge is starting the daemon")]
    Starting,
    #[error("HOME is not set, so there is no data folder for the daemon's log")]
    NoFolder,
    #[error("{path}: the daemon's log or lock cannot be written", path = .path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("the daemon cannot be started")]
    Spawn(#[source] io::Error),
    /// It ended, or did not listen in time; with its last word.
    #[error("the daemon did not start ({said}); its log is {log}", log = .log.display())]
    Stillborn { said: String, log: PathBuf },
}

/// Where the daemon is, and how to start it.
pub(super) struct Daemon {
    url: Url,
    tls: Option<Trust>,
    config: Config,
    config_file: Option<PathBuf>,
    folder: Option<PathBuf>,
    silence_max: watch::Sender<Duration>,
}

impl Daemon {
    pub(super) fn new(config: Config, tls: Option<Trust>, inputs: &Inputs) -> Result<Self, url::ParseError> {
        let url = target::mcp_url(&config.listen)?;
        let (silence_max, _) = watch::channel(IDLE_SILENCE_MAX);
        let (config_file, folder) = (inputs.file.clone(), inputs.data_folder());
        Ok(Self { url, tls, config, config_file, folder, silence_max })
    }

    /// Whether somebody waits for it.
    pub(super) fn set_awaited(&self, awaited: bool) {
        let allowed = if awaited { SILENCE_MAX } else { IDLE_SILENCE_MAX };
        self.silence_max.send_if_modified(|current| std::mem::replace(current, allowed) != allowed);
    }

    /// Where it is looked for.
    pub(super) fn address(&self) -> std::net::SocketAddr {
        target::reach(self.config.listen.mcp)
    }

    /// Connects, repeats the client's hello, and starts a daemon before that where there is none and `may_start` says so.
    pub(super) async fn reach(&self, hello: Option<String>, may_start: bool) -> Result<Connection, Down> {
        // Looked up each time: a daemon that is new may have made it.
        let token = Token::of(&self.config)?;
        let connection = match self.connect(&token).await {
            Err(ClientError::NoDaemon(_)) if may_start => self.start(&token).await?,
            tried => tried?,
        };
        let Some(hello) = hello else { return Ok(connection) };
        match tokio::time::timeout(HANDSHAKE_WITHIN, greet(connection, hello)).await {
            Ok(Some((connection, true))) => Ok(connection),
            Ok(Some((_, false))) => Err(Down::Handshake(self.url.clone())),
            Ok(None) => Err(ClientError::Gone.into()),
            Err(_) => Err(ClientError::Silent(self.url.clone()).into()),
        }
    }

    async fn connect(&self, token: &Token) -> Result<Connection, ClientError> {
        let decode = |text: &Bytes| {
            // A line break inside the message would end its line; JSON has none that counts.
            let text = std::str::from_utf8(text).ok()?;
            Some(if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text.to_owned() })
        };
        wire::open(&self.url, token, self.tls.clone(), self.silence_max.subscribe(), (Some, decode)).await
    }

    async fn start(&self, token: &Token) -> Result<Connection, Down> {
        let folder = self.folder.as_deref().ok_or(Down::NoFolder)?;
        let failed = |source| Down::Folder { path: folder.to_owned(), source };
        unix::make_private_folder(folder).map_err(failed)?;
        let port = self.config.listen.mcp.port();
        let lock = unix::append_private(&folder.join(format!("start-{port}.lock"))).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Down::Starting),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Another bridge may have been quicker.
        match self.connect(token).await {
            Err(ClientError::NoDaemon(_)) => {}
            tried => return Ok(tried?),
        }
        let path = folder.join(format!("daemon-{port}.log"));
        let (log, from) = open_log(&path).map_err(failed)?;
        let mut child = self.spawn(log).map_err(Down::Spawn)?;
        log::info!(pid = child.id(), log:% = path.display(); "started a daemon");
        let by = clock::now() + START_WITHIN;
        while clock::now() < by {
            match self.connect(token).await {
                Ok(connection) => {
                    bury(child);
                    return Ok(connection);
                }
                Err(error) => log::debug!("the daemon does not listen yet: {error}"),
            }
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                let said = last_error(&path, from).unwrap_or_else(|| "it ended without a word".to_owned());
                return Err(Down::Stillborn { said, log: path });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bury(child);
        let said = format!("it does not listen after {} s", START_WITHIN.as_secs());
        Err(Down::Stillborn { said, log: path })
    }

    fn spawn(&self, log: File) -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        if let Some(file) = &self.config_file {
            command.arg("--config").arg(file);
        }
        let also = log.try_clone()?;
        command.args(["serve", "--own-session"]).stdin(Stdio::null()).stdout(log).stderr(also).spawn()
    }
}

/// Says hello as the client once did, and hears whether the server will have it; none where the connection ends instead.
async fn greet(mut connection: Connection, hello: String) -> Option<(Connection, bool)> {
    connection.to_server.send(hello).await.ok()?;
    loop {
        if let Some(is_taken) = ledger::is_replay(&connection.from_server.recv().await?) {
            return Some((connection, is_taken));
        }
    }
}

/// Waits for the daemon's end on a thread, so that it leaves no zombie with a bridge that lives longer.
fn bury(mut child: Child) {
    std::thread::spawn(move || child.wait());
}

/// The daemon's log, and where it goes on.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    let log = unix::append_private(path)?;
    let from = log.metadata()?.len();
    Ok((log, from))
}

/// The last complaint in the log from there on; it holds neither questions nor keys.
fn last_error(path: &Path, from: u64) -> Option<String> {
    let mut log = File::open(path).ok()?;
    let end = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(from.max(end.saturating_sub(LOG_READ_BYTES)))).ok()?;
    let mut text = Vec::new();
    log.take(LOG_READ_BYTES).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().find_map(|line| line.strip_prefix("error: ")).map(str::to_owned)
}
