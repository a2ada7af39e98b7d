//! What reached the double and how it ended, in order of arrival: the oracle's upstream side. It never forgets a running request.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{Make, clock};

/// Entries kept in memory; beyond it the oldest goes, the journal file keeps all.
const ENTRIES_MAX: usize = 200_000;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Still being answered.
    Running,
    /// The last byte of the answer, or of the refusal, was handed to the kernel.
    Complete,
    /// The client closed its side first, in whatever phase.
    ClientClosed,
    /// We cut it on purpose: cut, eof, reset, garbage-after, error-after.
    Scripted,
}

/// One request, and one line of the journal file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// 1, 2, 3 .. in order of arrival at this listener.
    pub n: u64,
    /// The make of the listener it arrived at.
    pub make: Make,
    /// Milliseconds from the start of the double to the complete request head.
    pub at_ms: u64,
    /// The connection it came on, counted from 1; equal numbers mean keep-alive was used.
    pub connection: u64,
    /// The request method; empty when the head could not be parsed.
    pub method: String,
    /// The path without its query; empty when the head could not be parsed.
    pub path: String,
    /// The Host header.
    pub host: String,
    /// First 8 hex digits of the SHA-256 of the bearer key; empty if none was sent.
    pub key_fingerprint: String,
    /// The model as asked, script included; empty where there is none.
    pub model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The script in force, in its own grammar.
    pub script: String,
    /// Bytes of the request body.
    pub request_bytes: usize,
    /// First 16 hex digits of the body's SHA-256: equal bodies were sent twice.
    pub body_hash: String,
    /// Messages in the body.
    pub messages: usize,
    /// The first 120 characters of the last user message.
    pub last_user: String,
    /// Prompt tokens billed; 0 when the request was refused.
    pub prompt_tokens: u64,
    /// Completion tokens promised by the answer, reasoning included; 0 when it was refused.
    pub completion_tokens: u64,
    /// The User-Agent header.
    pub user_agent: String,
    /// The names of all request headers, in lower case and in order.
    pub header_names: Vec<String>,
    /// The status sent; 0 until a head was written.
    pub status: u16,
    /// Bytes handed to the kernel, head included.
    pub sent_bytes: usize,
    /// How it ended.
    pub ended: Ended,
    /// Milliseconds from the start of the double to the end.
    pub ended_at_ms: Option<u64>,
}

impl Entry {
    /// Whether it asked which models there are.
    pub(crate) fn is_listing(&self) -> bool {
        self.method == "GET" && self.path.ends_with("/models")
    }
}

#[derive(Default)]
struct Book {
    entries: VecDeque<Entry>,
    arrived: u64,
    running: usize,
    /// Rises with every change, so that a waiter copies only what is new.
    version: u64,
    file: Option<File>,
}

impl Book {
    fn find(&mut self, n: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.n;
        let index = usize::try_from(n.checked_sub(first)?).ok()?;
        self.entries.get_mut(index)
    }

    fn write_line(&mut self, n: u64) {
        let Some(line) = self.find(n).and_then(|entry| serde_json::to_string(entry).ok()) else {
            return;
        };
        let Some(file) = self.file.as_mut() else { return };
        // One write per line, so that listeners can share a file opened for append.
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            log::warn!("cannot append to the upstream journal: {error}");
        }
    }
}

/// The journal of one listener, shared by its connections.
#[derive(Clone)]
pub(crate) struct Journal {
    book: Arc<Mutex<Book>>,
    started: Instant,
    make: Make,
}

impl Journal {
    pub(crate) fn open(make: Make, file: Option<&Path>) -> io::Result<Journal> {
        let file = match file {
            Some(path) => Some(File::options().create(true).append(true).open(path)?),
            None => None,
        };
        let book = Book { file, ..Book::default() };
        Ok(Journal { book: Arc::new(Mutex::new(book)), started: clock::now(), make })
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(clock::now().duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes an arrival; the ticket is how the rest of the story is told.
    pub(crate) fn arrive(&self, connection: u64) -> Ticket {
        let at_ms = self.elapsed_ms();
        let mut book = self.book.lock();
        book.arrived += 1;
        book.running += 1;
        book.version += 1;
        let n = book.arrived;
        if book.entries.len() >= ENTRIES_MAX {
            book.entries.pop_front();
        }
        book.entries.push_back(Entry {
            n,
            make: self.make,
            at_ms,
            connection,
            method: String::new(),
            path: String::new(),
            host: String::new(),
            key_fingerprint: String::new(),
            model: String::new(),
            stream: false,
            script: String::new(),
            request_bytes: 0,
            body_hash: String::new(),
            messages: 0,
            last_user: String::new(),
            prompt_tokens: 0,
            completion_tokens: 0,
            user_agent: String::new(),
            header_names: Vec::new(),
            status: 0,
            sent_bytes: 0,
            ended: Ended::Running,
            ended_at_ms: None,
        });
        Ticket { journal: self.clone(), n }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.book.lock().entries.iter().cloned().collect()
    }

    /// The entries, if anything changed since `seen`.
    pub(crate) fn newer_than(&self, seen: &mut u64) -> Option<Vec<Entry>> {
        let book = self.book.lock();
        if book.version == *seen {
            return None;
        }
        *seen = book.version;
        Some(book.entries.iter().cloned().collect())
    }

    pub(crate) fn running(&self) -> usize {
        self.book.lock().running
    }
}

/// The right to write one entry. A ticket that is dropped without an end leaves its entry running: only the end of the double does that.
pub(crate) struct Ticket {
    journal: Journal,
    pub(crate) n: u64,
}

impl Ticket {
    pub(crate) fn note(&self, change: impl FnOnce(&mut Entry)) {
        let mut book = self.journal.book.lock();
        book.version += 1;
        if let Some(entry) = book.find(self.n) {
            change(entry);
        }
    }

    /// Writes the arrival's line, once the request is known.
    pub(crate) fn announce(&self) {
        self.journal.book.lock().write_line(self.n);
    }

    pub(crate) fn end(self, ended: Ended) {
        let at_ms = self.journal.elapsed_ms();
        let mut book = self.journal.book.lock();
        book.running -= 1;
        book.version += 1;
        if let Some(entry) = book.find(self.n) {
            entry.ended = ended;
            entry.ended_at_ms = Some(at_ms);
        }
        book.write_line(self.n);
    }
}

/// Reads a journal file: two lines a request, of which the last one counts; sorted by make, then arrival.
///
/// A last line without its newline, which a killed process may leave, is skipped.
pub fn read_journal(path: &Path) -> io::Result<Vec<Entry>> {
    let mut latest = std::collections::BTreeMap::new();
    for line in BufReader::new(File::open(path)?).lines() {
        if let Ok(entry) = serde_json::from_str::<Entry>(&line?) {
            latest.insert((entry.make, entry.n), entry);
        }
    }
    Ok(latest.into_values().collect())
}
