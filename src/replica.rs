//! Who this process is: a numbered slot in the state folder, locked for as long as it lives, with an identity and a spool. A restart
//! finds its old identity again; two daemons on one machine never share one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use exai_actors::storage::SpoolSettings;
use exai_actors::storage::rows::Life;
use uuid::Uuid;

/// Daemons on one machine and one database, at most.
const SLOTS_MAX: usize = 64;

/// This process's identity, and those of processes that have ended and whose slots nobody else has.
#[derive(Debug)]
pub(crate) struct Replica {
    life: Life,
    /// None where no folder could be written: then the identity is for this life only.
    slot: Option<Slot>,
    left_behind: Vec<Slot>,
}

/// A slot that this process holds.
#[derive(Debug)]
struct Slot {
    folder: PathBuf,
    id: String,
    /// The system lets it go when the process ends, however it ends.
    _lock: File,
}

impl Replica {
    /// Takes the first free slot, and every other one that nobody holds, so that what its process left behind is seen to.
    pub(crate) fn take(state_folder: Option<&Path>) -> Self {
        let taken = match state_folder {
            Some(folder) => take_first(folder),
            None => Err(io::Error::other("HOME is not set, so there is no data folder")),
        };
        match taken {
            Ok((slot, left_behind)) => {
                Self { life: new_life(slot.id.clone()), slot: Some(slot), left_behind }
            }
            Err(error) => {
                let folder = state_folder.unwrap_or(Path::new("")).display().to_string();
                log::warn!(folder = folder.as_str(); "this process has no folder for its state, and so no spool: {error}");
                Self { life: new_life(Uuid::now_v7().to_string()), slot: None, left_behind: Vec::new() }
            }
        }
    }

    /// What calls of this process bear in the journal.
    pub(crate) fn identity(&self) -> &str {
        &self.life.replica
    }

    /// This life of the process.
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    /// Every identity whose earlier life has ended: this process's own, and those left behind.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.identity()).chain(self.left_behind.iter().map(|slot| slot.id.as_str()))
    }

    /// Lets go of what was left behind, once it is seen to: another process that starts may have the slots.
    pub(crate) fn release_left_behind(&mut self) {
        self.left_behind.clear();
    }

    /// Where outcomes wait while the database is away.
    pub(crate) fn spool(&self, bytes_max: u64) -> Option<SpoolSettings> {
        let slot = self.slot.as_ref()?;
        let left_behind = self.left_behind.iter().map(Slot::spool).collect();
        Some(SpoolSettings { path: slot.spool(), bytes_max, left_behind })
    }
}

impl Slot {
    /// Takes a slot, or says that another process has it.
    fn take(state_folder: &Path, n: usize) -> io::Result<Option<Self>> {
        let folder = place(state_folder, n);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let lock = open(&folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let id = identity(&folder)?;
        Ok(Some(Self { folder, id, _lock: lock }))
    }

    fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }
}

fn take_first(state_folder: &Path) -> io::Result<(Slot, Vec<Slot>)> {
    for n in 0..SLOTS_MAX {
        if let Some(slot) = Slot::take(state_folder, n)? {
            let others = (n + 1..SLOTS_MAX).filter(|other| place(state_folder, *other).is_dir());
            let taken = others.filter_map(|other| match Slot::take(state_folder, other) {
                Ok(taken) => taken,
                Err(error) => {
                    log::warn!(slot = other; "what an earlier process left behind cannot be read: {error}");
                    None
                }
            });
            let left_behind = taken.collect();
            return Ok((slot, left_behind));
        }
    }
    Err(io::Error::other(format!("{SLOTS_MAX} daemons hold all slots")))
}

fn new_life(replica: String) -> Life {
    Life { replica, id: Uuid::now_v7().to_string() }
}

fn place(state_folder: &Path, n: usize) -> PathBuf {
    state_folder.join(format!("replica-{n}"))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The identity of a slot, which is made once. It appears whole or not at all.
fn identity(folder: &Path) -> io::Result<String> {
    let path = folder.join("id");
    match fs::read_to_string(&path) {
        Ok(text) if Uuid::try_parse(text.trim()).is_ok() => return Ok(text.trim().to_owned()),
        Ok(_) => log::warn!(path:% = path.display(); "not an identity; a new one is made"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let id = Uuid::now_v7().to_string();
    let unnamed = folder.join("id.new");
    let mut file = open(&unnamed)?;
    file.set_len(0)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unnamed, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_who_it_was_and_two_at_once_are_two() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state");
        let (first, second) = (Replica::take(Some(&place)), Replica::take(Some(&place)));
        assert_ne!(first.identity(), second.identity());
        assert_eq!(second.ended().collect::<Vec<_>>(), [second.identity()], "the first one lives");
        let (first_id, second_id) = (first.identity().to_owned(), second.identity().to_owned());
        drop(first);
        let again = Replica::take(Some(&place));
        assert_eq!(again.identity(), first_id);
        drop((again, second));
        // Alone again, it sees to what the other one left.
        let alone = Replica::take(Some(&place));
        assert_eq!(alone.ended().collect::<Vec<_>>(), [&first_id, &second_id]);
        let spool = alone.spool(7).unwrap();
        assert_eq!((spool.path, spool.bytes_max), (place.join("replica-0/spool"), 7));
        assert_eq!(spool.left_behind, [place.join("replica-1/spool")]);
    }

    #[test]
    fn a_broken_identity_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        drop(Replica::take(Some(folder.path())));
        fs::write(folder.path().join("replica-0/id"), "").unwrap();
        let id = Replica::take(Some(folder.path())).identity().to_owned();
        assert_eq!(Replica::take(Some(folder.path())).identity(), id);
    }

    #[test]
    fn without_a_folder_it_lives_without_a_spool() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for place in [None, Some(file.join("state"))] {
            let replica = Replica::take(place.as_deref());
            assert!(Uuid::try_parse(replica.identity()).is_ok());
            assert_eq!(replica.spool(1), None);
        }
    }
}
