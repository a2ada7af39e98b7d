//! A disk that is full: a file system in memory of a few MiB, that only root may mount.

use std::path::Path;
use std::process::Command;

use exai_actors::health::Status;
use exai_actors::ids::{CallId, ConversationId};
use exai_actors::storage::SpoolSettings;
use exai_actors::storage_writer::messages::{Record, WriteError};

use crate::records::{attempt, call, end, exchange};
use crate::world::{Db, World};

/// The size of the disk, as `mount` reads it.
const DISK: &str = "size=8m";
const SPOOL_BYTES: u64 = 2 << 20;
/// Too large to fit what SQLite has already taken from the disk.
const ANSWER_BYTES: usize = 400_000;

/// A mounted disk; unmounted when the test ends, however it ends.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "none"]).arg(folder.path()).output();
        mount.is_ok_and(|mount| mount.status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the files of a failed test may be open still.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[actix::test]
async fn a_full_disk_takes_no_outcome_from_us() {
    let Some(disk) = Disk::mount() else {
        let mut err = std::io::stderr().lock();
        std::io::Write::write_all(&mut err, b"left out: a full disk needs root, to mount one\n").unwrap();
        return;
    };
    let db = Db::at(&format!("sqlite://{}/exai.db", disk.path().display()));
    let spool =
        SpoolSettings { path: disk.path().join("spool"), bytes_max: SPOOL_BYTES, left_behind: Vec::new() };
    let world = World::spooling(db, spool);
    let id = CallId::mint();
    world.done(Record::CallOpened(call(id, "ann", None), Some(attempt(id, 1)))).await;
    // Fills it to the last byte.
    let filler = disk.path().join("filler");
    let filled = std::fs::write(&filler, vec![1; 16 << 20]);
    assert!(filled.is_err(), "the disk is larger than it should be");
    let exchange = exchange(ConversationId::mint(), "ann", id, &"x".repeat(ANSWER_BYTES));
    world.done(Record::CallEnded(Box::new(end(id, Some(exchange))))).await;
    assert_eq!(world.board.get("storage").unwrap().status, Status::Down);
    let refused = world.write(Record::CallOpened(call(CallId::mint(), "ann", None), None)).await;
    assert_eq!(refused, Err(WriteError::Unavailable));
    assert_eq!(world.facts.borrow().spool_rows, 1);
    std::fs::remove_file(&filler).unwrap();
    world.until(Status::Ok).await;
    assert_eq!(world.db.number("SELECT count(*) AS n FROM calls WHERE state = 'completed'").await, 1);
    assert_eq!(world.facts.borrow().spool_rows, 0);
}
