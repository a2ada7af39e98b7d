//! `[storage]`: which database keeps the journal. It opens nothing.

use exai_actors::storage::{Durability, Url};
use serde::{Deserialize, Deserializer};

use crate::config::error::ConfigError;
use crate::config::inputs::Inputs;
use crate::config::secret::Secret;
use crate::config::sources::{Source, Sources};

/// The key of the database's address.
const URL: &str = "storage.url";

/// `[storage]`: the database and how hard it tries.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    /// `storage.url` (or `DATABASE_URL`): `sqlite://path` or `postgres://user:password@host/database`. Default: `exai.db` in the
    /// user's data folder.
    pub(crate) url: Url,
    /// `storage.durability`: when a write counts as durable. `power` (default): once it survives a power cut; `process`: once it
    /// survives the end of the process.
    pub(crate) durability: Durability,
    /// `storage.pool_size`: connections that read, beside the one that writes. Default 8.
    pub(crate) pool_size: usize,
}

/// `[storage]` as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStorage {
    /// It may hold a password.
    url: Option<Secret>,
    #[serde(deserialize_with = "durability")]
    durability: Durability,
    pub(super) pool_size: usize,
}

impl Default for RawStorage {
    fn default() -> Self {
        Self { url: None, durability: Durability::default(), pool_size: 8 }
    }
}

impl Storage {
    /// Checks what is written and fills in the default address.
    pub(super) fn resolve(raw: RawStorage, sources: &Sources, inputs: &Inputs) -> Result<Self, ConfigError> {
        let RawStorage { url, durability, pool_size } = raw;
        let url = match url {
            Some(text) => text.reveal().parse().map_err(|error: exai_actors::storage::InvalidUrl| {
                let fix = "use sqlite:///path/to/exai.db or postgres://user:password@host/database";
                ConfigError::refused(sources.of(URL), URL, error.to_string(), fix)
            })?,
            None => of_user(inputs)?,
        };
        Ok(Self { url, durability, pool_size })
    }
}

fn of_user(inputs: &Inputs) -> Result<Url, ConfigError> {
    let folder = inputs.data_folder().ok_or_else(|| {
        let fix = "set storage.url (EXAI_STORAGE__URL), or set HOME";
        ConfigError::refused(Source::Default, URL, "HOME is not set, so there is no data folder", fix)
    })?;
    Ok(Url::sqlite(folder.join("exai.db")))
}

/// The words of the key, here because the enum's home knows no configuration.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Power,
    Process,
}

fn durability<'de, D: Deserializer<'de>>(from: D) -> Result<Durability, D::Error> {
    Ok(match Word::deserialize(from)? {
        Word::Power => Durability::Power,
        Word::Process => Durability::Process,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(url: &str) -> Result<Storage, ConfigError> {
        let raw = RawStorage { url: Some(url.into()), ..RawStorage::default() };
        Storage::resolve(raw, &Sources::default(), &Inputs::default())
    }

    #[test]
    fn the_default_is_a_file_of_the_users() {
        let inputs = Inputs::of(&[("HOME", "/home/a b")]);
        let storage = Storage::resolve(RawStorage::default(), &Sources::default(), &inputs);
        assert_eq!(storage.unwrap().url, Url::sqlite("/home/a b/.local/share/exai/exai.db"));
    }

    #[test]
    fn without_a_home_the_error_says_what_to_set() {
        let error =
            Storage::resolve(RawStorage::default(), &Sources::default(), &Inputs::default()).unwrap_err();
        assert!(error.to_string().contains("set storage.url (EXAI_STORAGE__URL), or set HOME"), "{error}");
    }

    #[test]
    fn passwords_are_masked() {
        let storage = storage("postgres://exai:hunter2@db/exai").unwrap();
        assert!(!format!("{storage:?} {}", storage.url).contains("hunter2"), "{storage:?}");
        let error = storage_error("postgres://exai:hunter2@db:port/exai");
        assert!(!error.contains("hunter2"), "{error}");
    }

    fn storage_error(url: &str) -> String {
        storage(url).unwrap_err().to_string()
    }

    #[test]
    fn other_addresses_are_refused() {
        for url in ["exai.db", "mysql://db/exai", "sqlite://", "sqlite://:memory:", ""] {
            assert!(storage_error(url).contains("fix: use sqlite://"), "{url}");
        }
    }
}
