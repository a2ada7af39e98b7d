//! What happens to the database while calls run: it is killed and started again, frozen and thawed, or its disk is full for a while.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::oracle::{Rule, Violation};
use crate::report::Report;
use crate::world::World;

/// The size of a disk that is filled.
const DISK: &str = "size=24m";
/// How much a filler writes at once, and at last.
const PIECES: [usize; 2] = [64 * 1024, 512];

/// One misfortune.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// How far into the chapter.
    pub(crate) after: Duration,
    /// How long it lasts.
    pub(crate) lasts: Duration,
    pub(crate) what: What,
}

/// Which misfortune.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// kill -9 of every process of Postgres, and a new start.
    Killed,
    /// SIGSTOP of every process of it, and SIGCONT.
    Frozen,
    /// No byte is free where the file of the database lies.
    DiskFull(PathBuf),
}

impl Trouble {
    /// Lets it happen, and waits until it is over and the daemon takes calls again by itself.
    pub(crate) async fn happen(
        &self,
        world: &mut World,
        report: &mut Report,
        found: &mut Vec<Violation>,
    ) -> io::Result<()> {
        report.say(&format!("the database is {:?} for {:?}", self.what, self.lasts));
        match &self.what {
            What::Killed => {
                order(world, "kill_postgres")?;
                tokio::time::sleep(self.lasts).await;
                order(world, "resume_postgres")?;
            }
            What::Frozen => {
                order(world, "pause_postgres")?;
                tokio::time::sleep(self.lasts).await;
                order(world, "unpause_postgres")?;
            }
            What::DiskFull(folder) => {
                let filler = folder.join("filler");
                fill(&filler)?;
                tokio::time::sleep(self.lasts).await;
                fs::remove_file(filler)?;
            }
        }
        match world.until_ready().await {
            Some(after) => report.fact(format!(
                "{:?}: ready again {:.2} s after its end",
                self.what,
                after.as_secs_f64()
            )),
            None => found.push(Violation::new(
                Rule::Recovered,
                "the daemon",
                format!("not ready after {:?}", self.what),
            )),
        }
        Ok(())
    }
}

fn order(world: &mut World, function: &str) -> io::Result<()> {
    let postgres = world.postgres.as_mut().ok_or_else(|| io::Error::other("no Postgres to be troubled"))?;
    postgres.order(function)
}

fn fill(path: &Path) -> io::Result<()> {
    let mut filler = File::create(path)?;
    for piece in PIECES {
        let zeros = vec![0; piece];
        while filler.write_all(&zeros).is_ok() {}
    }
    Ok(())
}

/// A small disk of its own; unmounted when dropped. Only root may have one.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// Mounts one; none where that is not allowed.
    pub(crate) fn mount() -> io::Result<Option<Self>> {
        let folder = tempfile::Builder::new().prefix("exai-disk-").tempdir()?;
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(folder.path()).output()?;
        Ok(mounted.status.success().then_some(Self { folder }))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there ends soon.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}
