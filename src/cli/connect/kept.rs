//! What a client's file was before EXAI came into it: kept in EXAI's own data folder, where no file of the user's can be in its way.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::file::{ClientFile, FileError};
use crate::config::Inputs;
use crate::unix;

/// What stood there before the first time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The text; none where there was no file.
    pub(super) text: Option<String>,
    /// Its permissions.
    pub(super) mode: Option<u32>,
}

/// Where it is kept for one file.
pub(super) struct Place(PathBuf);

impl Place {
    /// None without a data folder.
    pub(super) fn of(inputs: &Inputs, file: &ClientFile) -> Option<Self> {
        let sum = Sha256::digest(file.path.as_os_str().as_encoded_bytes());
        let name = sum.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
        Some(Self(inputs.data_folder()?.join("connected").join(format!("{name}.json"))))
    }

    /// What is kept, if anything is.
    pub(super) fn read(&self) -> Result<Option<Kept>, FileError> {
        match fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| self.failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Keeps what the file is.
    pub(super) fn keep(&self, file: &ClientFile) -> Result<(), FileError> {
        let kept = Kept { text: file.text.clone(), mode: file.mode() };
        let write = || {
            let folder = self.0.parent().unwrap_or(&self.0);
            unix::make_private_folder(folder)?;
            // Made with mode 0600: it may hold somebody's secrets.
            let mut new = tempfile::Builder::new().prefix(".kept").tempfile_in(folder)?;
            new.write_all(&serde_json::to_vec(&kept)?)?;
            new.as_file().sync_all()?;
            new.persist(&self.0).map(drop).map_err(|error| error.error)
        };
        write().map_err(|source| self.failed(source))
    }

    /// Forgets it.
    pub(super) fn forget(&self) -> Result<(), FileError> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn failed(&self, source: io::Error) -> FileError {
        FileError::Io { path: self.0.clone(), source }
    }
}
