//! A client's file on the disk: read whole, replaced whole. Follows links, keeps the mode unless told another, and never
//! writes over what changed meanwhile.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::unix;

/// The largest file, in bytes: some clients keep their whole state beside the servers.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a file is left as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read or replaced.
    #[error("{path}: the file cannot be read or replaced; fix: make it and its folder yours to read and write", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no text file of a sensible size.
    #[error("{path}: {problem}; fix: correct or remove the file", path = .path.display())]
    Odd {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// Somebody made it read-only.
    #[error("{path}: the file is read-only; fix: chmod u+w {path}", path = .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The client wrote it meanwhile.
    #[error("{path}: the file changed while it was edited; fix: run the command again", path = .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// One file: where it really is, and what it held when it was read.
#[derive(Debug)]
pub(crate) struct ClientFile {
    /// The file behind every link.
    pub(crate) path: PathBuf,
    /// Its text; none where there is no file.
    pub(crate) text: Option<String>,
}

impl ClientFile {
    /// Reads it.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        let path = real(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
        let text = text(&path)?;
        Ok(Self { path, text })
    }

    /// Replaces it, in one step; with `mode`, or else as private as it was.
    pub(crate) fn replace(&self, with: &str, mode: Option<u32>) -> Result<(), FileError> {
        self.unchanged()?;
        self.put(with, mode)
    }

    /// Removes it: there was none.
    pub(crate) fn remove(&self) -> Result<(), FileError> {
        self.unchanged()?;
        fs::remove_file(&self.path).map_err(|source| self.failed(source))
    }

    /// Its permissions; none where there is no file.
    pub(crate) fn mode(&self) -> Option<u32> {
        fs::metadata(&self.path).ok().map(|file| file.permissions().mode() & 0o7777)
    }

    fn unchanged(&self) -> Result<(), FileError> {
        if text(&self.path)? == self.text {
            Ok(())
        } else {
            Err(FileError::Changed { path: self.path.clone() })
        }
    }

    fn put(&self, text: &str, asked: Option<u32>) -> Result<(), FileError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mode = match fs::metadata(&self.path) {
            Ok(old) if old.permissions().readonly() => {
                return Err(FileError::ReadOnly { path: self.path.clone() });
            }
            Ok(old) => Some(old.permissions()),
            Err(_) => None,
        };
        let write = || {
            unix::make_private_folder(folder)?;
            // Made with mode 0600: it may hold a token.
            let mut file = tempfile::Builder::new().prefix(".exai").tempfile_in(folder)?;
            file.write_all(text.as_bytes())?;
            if let Some(mode) = asked.map(Permissions::from_mode).or(mode) {
                file.as_file().set_permissions(mode)?;
            }
            file.as_file().sync_all()?;
            file.persist(&self.path).map(drop).map_err(|error| error.error)
        };
        write().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> FileError {
        FileError::Io { path: self.path.clone(), source }
    }
}

/// The file behind every link; a file that is not there yet is where the name says.
fn real(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            std::path::absolute(path)
        }
        found => found,
    }
}

fn text(path: &Path) -> Result<Option<String>, FileError> {
    let odd = |problem| Err(FileError::Odd { path: path.to_owned(), problem });
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(file) if !file.is_file() => return odd("not a file"),
        Ok(file) if file.len() > BYTES_MAX => return odd("too large for settings"),
        Ok(_) => {}
    }
    match String::from_utf8(fs::read(path).map_err(failed)?) {
        Ok(text) => Ok(Some(text)),
        Err(_) => odd("not UTF-8 text"),
    }
}
