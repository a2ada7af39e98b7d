//! The spool: a bounded file that keeps the outcomes of calls while the database is away, fsynced before they are acknowledged.
//! What it holds are answers: it is readable by its owner alone, and nothing of its content is ever logged. Its calls block.

mod frames;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::{EndedAttempt, EndedCall};
use crate::clock::UtcMillis;
use crate::ids::CallId;
use crate::storage_writer::messages::Record;
use frames::{Chain, FRAME_HEAD_BYTES, FrameHead, HEADER_BYTES};

/// How much behind the last outcome is looked at when a spool is opened, in bytes.
const LOOKED_AT_BYTES: u64 = 1 << 20;
/// How much is wiped at once, in bytes.
const WIPE_BYTES: usize = 1 << 20;

/// Where a spool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Its file; made with mode 0600 when it is missing. No other process may use it meanwhile.
    pub path: PathBuf,
    /// Its size in bytes, reserved at the start, so that a full disk does not take it.
    pub bytes_max: u64,
    /// Spools of processes that have ended: what they hold is written first, then they are removed.
    pub left_behind: Vec<PathBuf>,
}

/// What the spool takes: how something ended, which cannot be asked for a second time.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    CallEnded(Box<EndedCall>),
    AttemptEnded(EndedAttempt),
    CallDelivered { call: CallId, at: UtcMillis },
}

/// An open spool.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    path: PathBuf,
    bytes_max: u64,
    /// Behind the last outcome that the database has.
    head: Mark,
    /// Behind the last outcome.
    tail: Mark,
    /// Outcomes between the two.
    rows: u64,
}

/// A place between two frames.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: u64,
    chain: Chain,
}

/// The oldest outcomes of a spool.
#[derive(Debug)]
pub(crate) struct Oldest {
    /// They, in order. One that this release cannot read is left out.
    pub(crate) records: Vec<Record>,
    rows: u64,
    end: Mark,
}

/// A record as it stands in a spool; none of a record that no spool takes.
pub(crate) fn encode(record: &Record) -> Option<Vec<u8>> {
    let outcome = match record {
        // In all likelihood there is no row, and the room is for calls that were accepted. It is written once the database is back.
        Record::CallEnded(ended) if ended.may_be_missing => return None,
        Record::CallEnded(ended) => Outcome::CallEnded(ended.clone()),
        Record::AttemptEnded(ended) => Outcome::AttemptEnded(ended.clone()),
        Record::CallDelivered { call, at } => Outcome::CallDelivered { call: *call, at: *at },
        Record::CallOpened(..)
        | Record::AttemptOpened(_)
        | Record::CallStreaming { .. }
        | Record::SessionOpened(_)
        | Record::SessionEnded(_)
        | Record::MetricsFlushed(_)
        | Record::LifeBegan(..)
        | Record::LifeEnded(..)
        | Record::Events(_)
        | Record::Acknowledged(_)
        | Record::LeasesRenewed { .. }
        | Record::Recovered { .. }
        | Record::Expired(_) => return None,
    };
    serde_json::to_vec(&outcome).ok()
}

fn decode(text: &[u8]) -> Option<Record> {
    Some(match serde_json::from_slice(text).ok()? {
        Outcome::CallEnded(ended) => Record::CallEnded(ended),
        Outcome::AttemptEnded(ended) => Record::AttemptEnded(ended),
        Outcome::CallDelivered { call, at } => Record::CallDelivered { call, at },
    })
}

impl Spool {
    /// Opens the file, or makes it, reserves its space, and finds what it holds. What cannot be a spool is set aside.
    pub(crate) fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let mut file = open_file(path)?;
        let mut header = [0; HEADER_BYTES];
        let read = file.read_exact_at(&mut header, 0).map(|()| frames::read_header(&header));
        let chain = match read {
            Ok(Some(chain)) => Some(chain),
            Ok(None) if header != [0; HEADER_BYTES] => {
                let aside = path.with_extension("damaged");
                log::error!(path:% = aside.display(); "a file that is no spool lay in its place and is kept aside");
                fs::rename(path, aside)?;
                file = open_file(path)?;
                None
            }
            Ok(None) => None,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        reserve(&file, bytes_max);
        let chain = match chain {
            Some(chain) => chain,
            None => begin(&file)?,
        };
        if let Some(folder) = path.parent() {
            // The file's name must outlive a power cut as well.
            File::open(folder)?.sync_all()?;
        }
        let start = Mark { at: HEADER_BYTES as u64, chain };
        let mut spool = Self { file, path: path.to_owned(), bytes_max, head: start, tail: start, rows: 0 };
        while let Some((_, behind)) = spool.frame_at(spool.tail)? {
            spool.tail = behind;
            spool.rows += 1;
        }
        spool.keep_what_cannot_be_read()?;
        Ok(spool)
    }

    /// Behind the last whole frame there is nothing but zeros, unless the power went in the middle of an append, or the file was
    /// damaged. Nobody can tell the two apart, so what lies there is kept for people to look at.
    fn keep_what_cannot_be_read(&self) -> io::Result<()> {
        let mut behind = Vec::new();
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(self.tail.at))?;
        file.take(LOOKED_AT_BYTES).read_to_end(&mut behind)?;
        if behind.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let aside = self.path.with_extension("damaged");
        log::error!(path:% = aside.display(), outcomes = self.rows;
            "the spool holds something behind its last whole outcome; a copy is kept aside, and calls whose outcomes it held become unknown");
        fs::copy(&self.path, &aside).map(drop)
    }

    /// Appends as many of these, from the first on, as there is room for, and fsyncs them together; how many.
    pub(crate) fn append(&mut self, texts: &[Vec<u8>]) -> io::Result<usize> {
        let (mut bytes, mut chain, mut taken) = (Vec::new(), self.tail.chain, 0);
        for text in texts {
            let end = self.tail.at + (bytes.len() + FRAME_HEAD_BYTES + text.len()) as u64;
            if end > self.bytes_max {
                break;
            }
            let Some(behind) = chain.frame(text, &mut bytes) else { break };
            chain = behind;
            taken += 1;
        }
        if taken > 0 {
            // Where this fails the tail stays: what follows is written over whatever came through.
            self.file.write_all_at(&bytes, self.tail.at)?;
            self.file.sync_data()?;
            self.tail = Mark { at: self.tail.at + bytes.len() as u64, chain };
            self.rows += taken as u64;
        }
        Ok(taken)
    }

    /// The oldest outcomes, at most so many and so large together, but one at least; none when all are written.
    pub(crate) fn oldest(&self, rows_max: usize, bytes_max: usize) -> io::Result<Option<Oldest>> {
        let mut oldest = Oldest { records: Vec::new(), rows: 0, end: self.head };
        while oldest.end.at < self.tail.at {
            let bytes = oldest.end.at - self.head.at;
            if oldest.rows > 0 && (oldest.rows >= rows_max as u64 || bytes >= bytes_max as u64) {
                break;
            }
            let Some((text, behind)) = self.frame_at(oldest.end)? else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of the spool has changed"));
            };
            match decode(&text) {
                Some(record) => oldest.records.push(record),
                None => log::error!("an outcome in the spool cannot be read by this release and is dropped"),
            }
            oldest.end = behind;
            oldest.rows += 1;
        }
        Ok((oldest.rows > 0).then_some(oldest))
    }

    /// Notes that the database has these; once it has all, the spool is empty again, and wiped.
    pub(crate) fn written(&mut self, oldest: &Oldest) -> io::Result<()> {
        self.head = oldest.end;
        self.rows -= oldest.rows;
        if self.rows > 0 {
            return Ok(());
        }
        let used = self.tail.at;
        // From here on the old frames follow nothing. Where this fails they are written once more after the next start.
        let start = Mark { at: HEADER_BYTES as u64, chain: begin(&self.file)? };
        (self.head, self.tail) = (start, start);
        wipe(&self.file, start.at, used)
    }

    /// Takes an empty spool off the disk.
    pub(crate) fn remove(self) -> io::Result<()> {
        assert_eq!(self.rows, 0, "a spool that is removed is empty");
        fs::remove_file(&self.path)
    }

    /// Outcomes that wait.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Their size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.tail.at - self.head.at
    }

    /// The frame that begins there, and the place behind it; none where no whole frame follows.
    fn frame_at(&self, mark: Mark) -> io::Result<Option<(Vec<u8>, Mark)>> {
        let size = self.file.metadata()?.len();
        let text_at = mark.at + FRAME_HEAD_BYTES as u64;
        if text_at > size {
            return Ok(None);
        }
        let mut head = [0; FRAME_HEAD_BYTES];
        self.file.read_exact_at(&mut head, mark.at)?;
        let head = FrameHead::read(head);
        let end = text_at + u64::from(head.length);
        if end > size {
            return Ok(None);
        }
        let mut text = vec![0; head.length as usize];
        self.file.read_exact_at(&mut text, text_at)?;
        let behind = mark.chain.behind(head, &text);
        Ok(behind.map(|chain| (text, Mark { at: end, chain })))
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Begins a new filling: one sector, so that it is there or not.
fn begin(file: &File) -> io::Result<Chain> {
    let (header, chain) = frames::header(Uuid::now_v7().into_bytes());
    file.write_all_at(&header, 0)?;
    file.sync_data()?;
    Ok(chain)
}

fn reserve(file: &File, bytes: u64) {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // Some file systems cannot reserve; there the spool takes what is left when it is needed.
        Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {}
        Err(error) => log::warn!(bytes; "the space of the spool could not be reserved: {error}"),
    }
}

/// Answers must not stay where nothing deletes them.
fn wipe(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; WIPE_BYTES];
    let mut at = from;
    while at < to {
        let bytes = (to - at).min(WIPE_BYTES as u64);
        file.write_all_at(&zeros[..bytes as usize], at)?;
        at += bytes;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests;
