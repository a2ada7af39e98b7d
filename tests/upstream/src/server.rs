//! The listener and its connections: accept, read a request, ask the routes for a reply, play it, write the journal.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::ask::hex_of;
use crate::cache::Prefixes;
use crate::conn::Conn;
use crate::files::Shelf;
use crate::http::{self, Head, ReadError};
use crate::journal::{Ended, Entry, Journal, Ticket};
use crate::refusal::Refusal;
use crate::reply::{Player, Reply, Then, Whole};
use crate::routes;
use crate::script::Script;
use crate::{Make, Options, key_fingerprint};

/// Scripts that may wait for requests.
pub(crate) const QUEUE_MAX: usize = 100_000;

/// What the connections of one listener share.
pub(crate) struct Shared {
    pub(crate) make: Make,
    pub(crate) options: Options,
    pub(crate) journal: Journal,
    /// Scripts by endpoint, first in first out.
    pub(crate) queue: Mutex<VecDeque<(String, Script)>>,
    pub(crate) default: Mutex<Script>,
    /// Chat requests being answered, by key.
    pub(crate) chats: Mutex<HashMap<String, usize>>,
    pub(crate) cache: Mutex<Prefixes>,
    pub(crate) files: Mutex<Shelf>,
    connections: AtomicU64,
}

impl Shared {
    pub(crate) fn new(make: Make, options: Options) -> io::Result<Shared> {
        Ok(Shared {
            make,
            journal: Journal::open(make, options.journal_file.as_deref())?,
            queue: Mutex::default(),
            default: Mutex::new(options.default_script.clone()),
            chats: Mutex::default(),
            cache: Mutex::default(),
            files: Mutex::default(),
            connections: AtomicU64::new(0),
            options,
        })
    }

    /// The script queued for that endpoint, if any.
    pub(crate) fn queued(&self, endpoint: &str) -> Option<Script> {
        let mut queue = self.queue.lock();
        let index = queue.iter().position(|(wanted, _)| wanted == endpoint)?;
        queue.remove(index).map(|(_, script)| script)
    }
}

/// Serves until the stop channel closes.
pub(crate) async fn run(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let accepted = tokio::select! {
            _ = &mut stop => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
            Err(error) => {
                // Out of descriptors, most likely: let some close.
                log::warn!("cannot accept on the upstream double: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("cannot set TCP_NODELAY: {error}");
    }
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let mut conn = Conn::new(stream);
    loop {
        match one(&mut conn, &shared, connection).await {
            Then::KeepAlive => {}
            Then::Corpse => {
                // A connection without a request is not worth a word of the journal.
                if let Err(error) = conn.fill().await {
                    log::debug!("the client left a corpse alone: {error}");
                }
                return conn.reset();
            }
            Then::Close => return conn.close().await,
            Then::Reset => return conn.reset(),
        }
    }
}

/// One request and its answer.
async fn one(conn: &mut Conn, shared: &Arc<Shared>, connection: u64) -> Then {
    let head = match http::read_head(conn).await {
        Ok(head) => head,
        Err(ReadError::Idle) => return Then::Close,
        Err(error) => return unreadable(conn, shared, shared.journal.arrive(connection), error).await,
    };
    let ticket = shared.journal.arrive(connection);
    ticket.note(|entry| describe(entry, &head));
    if head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        && conn.write(b"HTTP/1.1 100 Continue\r\n\r\n", |_| ()).await.is_err()
    {
        ticket.end(Ended::ClientClosed);
        return Then::Close;
    }
    let body = match http::read_body(conn, head.framing).await {
        Ok(body) => body,
        Err(error) => return unreadable(conn, shared, ticket, error).await,
    };
    ticket.note(|entry| {
        entry.request_bytes = body.len();
        entry.body_hash = hex_of(&body)[..16].to_owned();
    });
    let routed = routes::route(shared, &head, &body, &ticket);
    ticket.note(|entry| entry.script = routed.script.to_string());
    ticket.announce();
    let (ended, then) = Player::new(conn, &ticket, &routed.script, head.keep_alive).play(routed.reply).await;
    // The permit goes before the end is told: who sees the end may ask again.
    drop(routed.permit);
    ticket.end(ended);
    then
}

fn describe(entry: &mut Entry, head: &Head) {
    let of = |name: &str| head.header(name).unwrap_or_default().to_owned();
    entry.method.clone_from(&head.method);
    entry.path.clone_from(&head.path);
    entry.host = of("host");
    entry.user_agent = of("user-agent");
    entry.key_fingerprint = key_fingerprint(head.key());
    entry.header_names = head.headers.iter().map(|(name, _)| name.clone()).collect();
}

/// Answers what could not be read, where somebody is left to read the answer.
async fn unreadable(conn: &mut Conn, shared: &Shared, ticket: Ticket, error: ReadError) -> Then {
    let refusal = match error {
        ReadError::Idle | ReadError::Gone => {
            ticket.end(Ended::ClientClosed);
            return Then::Close;
        }
        ReadError::Malformed => Refusal::plain(shared.make, 400, "malformed HTTP request"),
        ReadError::TooLarge => Refusal::plain(shared.make, 413, "Request exceeds the maximum size"),
    };
    let script = Script::default();
    let reply = Reply::Whole(Whole::refusal(refusal, &script));
    let (ended, _) = Player::new(conn, &ticket, &script, false).play(reply).await;
    ticket.end(ended);
    Then::Close
}
