//! A small disk of one test's own, that may be full.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test binary uses a part of it")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// A small disk in memory; unmounted when dropped.
pub struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts it.
    pub fn mount() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=24m", "none"]).arg(folder.path()).status();
        assert!(mounted.expect("mount runs").success(), "only root may mount");
        Self(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room on it.
    pub fn fill(&self) {
        assert!(
            fs::write(self.path().join("filler"), vec![1; 32 << 20]).is_err(),
            "the disk is larger than it should be"
        );
    }

    /// Makes room again.
    pub fn clear(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the daemon's files are open still.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
