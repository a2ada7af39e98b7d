//! What becomes of outcomes while the database is away: they are fsynced into the spool, which counts as written, and go into the
//! database before anything else once it is back.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::messages::{Record, WriteError, Written};
use super::reach::Reach;
use crate::storage::job::{Down, Job, Rules};
use crate::storage::spool::{self, Spool, SpoolSettings};

/// Outcomes that one transaction takes from the spool, and their bytes: well within the time of one operation, or a slow database
/// would never be done with them.
const REPLAY_ROWS_MAX: usize = 256;
const REPLAY_BYTES_MAX: usize = 4 << 20;

/// The spool of this process, and those that others have left behind.
pub(super) struct Spooling {
    settings: Option<SpoolSettings>,
    own: Option<Spool>,
    left_behind: Vec<Spool>,
    /// Whether the log has said that there is none.
    complained: bool,
    replayed: u64,
}

impl Spooling {
    /// Opens them all. What cannot be opened is tried again by [`Self::reopen`].
    pub(super) async fn open(settings: Option<SpoolSettings>) -> Self {
        let paths = settings.as_ref().map(|settings| settings.left_behind.clone()).unwrap_or_default();
        let mut spooling =
            Self { settings, own: None, left_behind: Vec::new(), complained: false, replayed: 0 };
        spooling.reopen().await;
        for path in paths.into_iter().filter(|path| path.exists()) {
            match blocking(move || Spool::open(&path, 0)).await {
                Ok(spool) => spooling.left_behind.push(spool),
                Err(error) => log::error!("a spool that was left behind cannot be opened: {error}"),
            }
        }
        spooling
    }

    /// Opens the own spool where it is not.
    pub(super) async fn reopen(&mut self) {
        let (None, Some(settings)) = (&self.own, &self.settings) else { return };
        let (path, bytes_max) = (settings.path.clone(), settings.bytes_max);
        match blocking(move || Spool::open(&path, bytes_max)).await {
            Ok(spool) => {
                self.own = Some(spool);
                self.complained = false;
            }
            Err(error) => self.complain(&error),
        }
    }

    /// Outcomes that wait.
    pub(super) fn rows(&self) -> u64 {
        self.own.iter().chain(&self.left_behind).map(Spool::rows).sum()
    }

    /// Their size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.own.iter().chain(&self.left_behind).map(Spool::bytes).sum()
    }

    /// Outcomes that the database took.
    pub(super) fn replayed(&self) -> u64 {
        self.replayed
    }

    /// What `/health` says of it.
    pub(super) fn in_words(&self) -> String {
        match (&self.own, self.rows()) {
            (None, 0) => ", without a spool".to_owned(),
            (Some(_), 0) => String::new(),
            (_, 1) => "; 1 outcome waits in the spool".to_owned(),
            (_, rows) => format!("; {rows} outcomes wait in the spool"),
        }
    }

    /// Keeps the outcomes among the records that the database did not take: all of them behind one fsync, and from then on they
    /// are as good as written. What has no room stays with its caller.
    pub(super) async fn keep(
        &mut self,
        records: &Arc<Vec<Record>>,
        outcomes: &mut [Result<Written, WriteError>],
    ) {
        let homeless = |n: &usize| {
            matches!(outcomes.get(*n), Some(Err(WriteError::Unavailable | WriteError::Uncertain)))
        };
        let waiting = (0..records.len()).filter(homeless).collect::<Vec<_>>();
        if waiting.is_empty() {
            return;
        }
        let Some(mut spool) = self.own.take() else { return };
        let records = Arc::clone(records);
        let appended = blocking(move || {
            let some = |n: usize| Some((n, spool::encode(records.get(n)?)?));
            let (places, texts) = waiting.into_iter().filter_map(some).unzip::<_, _, Vec<_>, Vec<_>>();
            let taken = if texts.is_empty() { Ok(0) } else { spool.append(&texts) };
            Ok((spool, places, taken))
        });
        match appended.await {
            Ok((spool, places, taken)) => {
                self.own = Some(spool);
                let taken = taken.unwrap_or_else(|error| {
                    self.complain(&error);
                    0
                });
                for place in places.into_iter().take(taken) {
                    outcomes[place] = Ok(Written::Done);
                }
            }
            Err(error) => self.complain(&error),
        }
    }

    /// Writes what waits, oldest first, until nothing does. What the database refuses is dropped, and the log says so; what it
    /// cannot take now stays.
    pub(super) async fn replay(&mut self, reach: &mut Reach, rules: Rules) -> Result<(), Down> {
        while let Some(spool) = self.left_behind.pop() {
            match self.replay_one(spool, reach, rules).await {
                Ok(None) => {}
                Ok(Some(spool)) => {
                    if let Err(error) = blocking(move || spool.remove()).await {
                        log::warn!("a spool that was left behind cannot be removed: {error}");
                    }
                }
                Err((spool, down)) => {
                    self.left_behind.push(spool);
                    return Err(down);
                }
            }
        }
        if let Some(spool) = self.own.take_if(|spool| spool.rows() > 0) {
            match self.replay_one(spool, reach, rules).await {
                Ok(own) => self.own = own,
                Err((spool, down)) => {
                    self.own = Some(spool);
                    return Err(down);
                }
            }
        }
        Ok(())
    }

    /// None where the spool cannot be read: then it does not hold up what can be written.
    async fn replay_one(
        &mut self,
        mut spool: Spool,
        reach: &mut Reach,
        rules: Rules,
    ) -> Result<Option<Spool>, (Spool, Down)> {
        let before = spool.rows();
        loop {
            let read = blocking(move || {
                let oldest = spool.oldest(REPLAY_ROWS_MAX, REPLAY_BYTES_MAX)?;
                Ok((spool, oldest))
            });
            let (still, oldest) = match read.await {
                Ok(read) => read,
                Err(error) => {
                    self.complain(&error);
                    return Ok(None);
                }
            };
            spool = still;
            let Some(mut oldest) = oldest else { break };
            let records = Arc::new(std::mem::take(&mut oldest.records));
            if !records.is_empty() {
                let done = reach.run(Job::Write(records, rules)).await;
                if let Some(down) = done.down {
                    return Err((spool, down));
                }
            }
            let noted = blocking(move || {
                let noted = spool.written(&oldest);
                Ok((spool, noted))
            });
            match noted.await {
                Ok((still, noted)) => {
                    spool = still;
                    if let Err(error) = noted {
                        self.complain(&error);
                    }
                }
                Err(error) => {
                    self.complain(&error);
                    return Ok(None);
                }
            }
        }
        if before > 0 {
            self.replayed += before;
            log::info!(outcomes = before; "what waited in the spool is in the database");
        }
        Ok(Some(spool))
    }

    fn complain(&mut self, error: &io::Error) {
        if !self.complained {
            self.complained = true;
            let path = self.settings.as_ref().map_or(Path::new(""), |settings| &settings.path);
            log::error!(path:% = path.display(); "the spool cannot be used: {error}");
        }
    }
}

/// Does work that waits for a disk on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
