//! `[storage]`: which database keeps the journal. It opens nothing.

use std::path::PathBuf;

use exai_actors::storage::{Durability, Url};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

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
    /// `storage.spool_mib`: disk space, in MiB, for outcomes of running calls while the database is away; it is reserved at the
    /// start. Default 64.
    pub(crate) spool_mib: u64,
    /// Where the processes of this database keep what is theirs: beside a SQLite file, else in the user's data folder. Each
    /// database has its own, so that nobody writes into one what waits for another. None without a home.
    pub(crate) state_folder: Option<PathBuf>,
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
    pub(super) spool_mib: u64,
}

impl Default for RawStorage {
    fn default() -> Self {
        Self { url: None, durability: Durability::default(), pool_size: 8, spool_mib: 64 }
    }
}

impl Storage {
    /// Checks what is written and fills in the default address.
    pub(super) fn resolve(raw: RawStorage, sources: &Sources, inputs: &Inputs) -> Result<Self, ConfigError> {
        let RawStorage { url, durability, pool_size, spool_mib } = raw;
        let url = match url {
            Some(text) => {
                let url = text.reveal().parse::<Url>().map_err(|error| {
                    let fix = "use sqlite:///path/to/exai.db or postgres://user:password@host/database";
                    ConfigError::refused(sources.of(URL), URL, error.to_string(), fix)
                })?;
                url.with_files(|path| sources.located(URL, path))
            }
            None => of_user(inputs)?,
        };
        let state_folder = state_folder(&url, inputs);
        Ok(Self { url, durability, pool_size, spool_mib, state_folder })
    }
}

fn state_folder(url: &Url, inputs: &Inputs) -> Option<PathBuf> {
    match url {
        Url::Sqlite(path) => {
            let mut folder = path.clone().into_os_string();
            folder.push(".replicas");
            Some(folder.into())
        }
        Url::Postgres(_) => {
            // Its text has no password, and behind the `?` is how to connect: neither makes it another database.
            let text = url.to_string();
            let sum = Sha256::digest(text.split('?').next().unwrap_or_default());
            let name = sum.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
            Some(inputs.data_folder()?.join(format!("replicas-{name}")))
        }
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
    fn each_database_has_a_place_for_the_state_of_its_processes() {
        let inputs = Inputs::of(&[("HOME", "/home/a")]);
        let folder = |url: &str| {
            let raw = RawStorage { url: Some(url.into()), ..RawStorage::default() };
            Storage::resolve(raw, &Sources::default(), &inputs).unwrap().state_folder.unwrap()
        };
        assert_eq!(folder("sqlite:///srv/x.db"), PathBuf::from("/srv/x.db.replicas"));
        let (one, same) =
            (folder("postgres://exai:old@db/exai"), folder("postgres://exai:new@db/exai?sslmode=disable"));
        assert_eq!(one, same);
        assert!(one.starts_with("/home/a/.local/share/exai"), "{one:?}");
        assert_ne!(one, folder("postgres://exai:old@db/other"));
        assert_eq!(storage("postgres://exai@db/exai").unwrap().state_folder, None);
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
