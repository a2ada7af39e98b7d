//! The handle: starts a listener in a thread of its own, scripts it, reads its journal, stops it on drop.

use std::fmt::{self, Display};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;

use crate::ask::hex_of;
use crate::clock;
use crate::journal::Entry;
use crate::routes::CHAT;
use crate::script::Script;
use crate::server::{self, QUEUE_MAX, Shared};

/// Connections that may wait to be accepted: a burst of clients is not refused by the kernel.
const BACKLOG: i32 = 4096;
/// How often a waiter looks at the journal.
const POLL: Duration = Duration::from_millis(2);

/// Which make a listener imitates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Make {
    /// Moonshot, `https://api.moonshot.ai/v1`.
    Kimi,
    /// Z.ai, `https://api.z.ai/api/paas/v4`.
    Glm,
    /// A plain OpenAI-compatible server; any model id goes.
    OpenAi,
}

impl Make {
    /// All makes.
    pub const ALL: [Make; 3] = [Make::Kimi, Make::Glm, Make::OpenAi];

    fn base_path(self) -> &'static str {
        match self {
            Make::Kimi | Make::OpenAi => "/v1",
            Make::Glm => "/api/paas/v4",
        }
    }
}

impl Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Make::Kimi => "kimi",
            Make::Glm => "glm",
            Make::OpenAi => "openai",
        })
    }
}

impl FromStr for Make {
    type Err = String;

    fn from_str(text: &str) -> Result<Make, String> {
        Make::ALL
            .into_iter()
            .find(|make| make.to_string() == text)
            .ok_or_else(|| format!("no make is called {text:?}"))
    }
}

/// How a double starts; the default is a free port, any key, no file, seed 0 and the built-in script.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The only key accepted; without it every key that is not empty is.
    pub required_key: Option<String>,
    /// Without a required key, requests without any are accepted too, as local servers do.
    pub keyless: bool,
    /// Where arrivals and ends are appended, one JSON line each; see [`crate::read_journal`].
    pub journal_file: Option<PathBuf>,
    /// What the texts and ids are drawn from.
    pub seed: u64,
    /// The script of chat requests that bring none.
    pub default_script: Script,
    /// Chat requests a key may have open at once; one more gets the make's concurrency error.
    pub max_concurrency: Option<usize>,
}

/// A running double; dropping it stops the server and closes its sockets.
pub struct Upstream {
    shared: Arc<Shared>,
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The first 8 hex digits of the key's SHA-256; empty for an empty key.
pub fn key_fingerprint(key: &str) -> String {
    if key.is_empty() { String::new() } else { hex_of(key.as_bytes())[..8].to_owned() }
}

impl Upstream {
    /// Starts on a free port of 127.0.0.1, in a thread of its own; it listens when this returns.
    ///
    /// # Errors
    /// When the port cannot be bound or the thread not started.
    pub fn start(make: Make) -> io::Result<Upstream> {
        Upstream::start_with(make, Options::default())
    }

    /// Starts with options.
    ///
    /// # Errors
    /// When the port cannot be bound, the journal file not opened, or the thread not started.
    pub fn start_with(make: Make, options: Options) -> io::Result<Upstream> {
        let listener = listen(options.port)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(make, options)?);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("upstream-{make}")).spawn(move || {
            if let Err(error) = runtime.block_on(server::run(listener, served, stopped)) {
                log::error!("the upstream double stopped: {error}");
            }
        })?;
        Ok(Upstream { shared, addr, stop: Some(stop), thread: Some(thread) })
    }

    /// The make it imitates.
    pub fn make(&self) -> Make {
        self.shared.make
    }

    /// What a client is configured with: `http://127.0.0.1:PORT/v1`, or `/api/paas/v4` for GLM.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.addr, self.shared.make.base_path())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The requests so far, ended and running, in order of arrival; of the newest 200 000. Lists of models, which cost nothing and
    /// which a client fetches when it likes, stand in [`Self::listings`].
    pub fn journal(&self) -> Vec<Entry> {
        self.shared.journal.entries().into_iter().filter(|entry| !entry.is_listing()).collect()
    }

    /// The requests for the list of models so far.
    pub fn listings(&self) -> Vec<Entry> {
        self.shared.journal.entries().into_iter().filter(Entry::is_listing).collect()
    }

    /// Requests that have arrived and not ended.
    pub fn in_flight(&self) -> usize {
        self.shared.journal.running()
    }

    /// Files uploaded and not deleted, of all keys.
    pub fn file_count(&self) -> usize {
        self.shared.files.lock().len()
    }

    /// Queues a script for the next chat request; the queue comes before header, model name and default.
    pub fn push_script(&self, script: Script) {
        self.push_script_to(CHAT, script);
    }

    /// Queues a script for the next request to another endpoint, such as `/models`. A queue of more than 100 000 drops its newest.
    pub fn push_script_to(&self, endpoint: &str, script: Script) {
        let mut queue = self.shared.queue.lock();
        if queue.len() < QUEUE_MAX {
            queue.push_back((endpoint.to_owned(), script));
        }
    }

    /// Sets the script of chat requests that bring none.
    pub fn set_default(&self, script: Script) {
        *self.shared.default.lock() = script;
    }

    /// Forgets all queued scripts.
    pub fn clear_scripts(&self) {
        self.shared.queue.lock().clear();
    }

    /// Blocks until the predicate over the journal, lists of models included, holds, or the timeout passes (false).
    pub fn wait_for(&self, timeout: Duration, predicate: impl Fn(&[Entry]) -> bool) -> bool {
        let deadline = clock::now() + timeout;
        let mut seen = u64::MAX;
        loop {
            let began = clock::now();
            if self.shared.journal.newer_than(&mut seen).is_some_and(|entries| predicate(&entries)) {
                return true;
            }
            let ended = clock::now();
            if ended >= deadline {
                return false;
            }
            // A long journal takes long to copy, under the lock: look less often.
            std::thread::sleep(POLL.max(ended.duration_since(began) * 4));
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the upstream double panicked");
        }
    }
}
