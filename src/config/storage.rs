//! `[storage]`: which database keeps the journal. It opens nothing, and never prints the address's password.

use std::fmt;

use url::Url;

use crate::config::error::ConfigError;
use crate::config::inputs::Inputs;
use crate::config::sections::{Durability, RawStorage};
use crate::config::sources::Sources;

/// The key of the database's address.
const URL: &str = "storage.url";

/// `[storage]`: the database and how hard it tries.
#[derive(Clone)]
pub(crate) struct Storage {
    /// `storage.url` (or `DATABASE_URL`): `sqlite:///path/to/file` (the path percent-encoded where needed) or `postgres://..`.
    /// Default: `exai.db` in the user's data folder.
    pub(crate) url: Url,
    /// `storage.durability`: `power` or `process`. Default `power`.
    pub(crate) durability: Durability,
    /// `storage.pool_size`: connections that read, beside the one that writes. Default 8.
    pub(crate) pool_size: usize,
}

impl Storage {
    /// Checks what is written and fills in the default address.
    pub(super) fn resolve(raw: RawStorage, sources: &Sources, inputs: &Inputs) -> Result<Self, ConfigError> {
        let RawStorage { url, durability, pool_size } = raw;
        let url = match url {
            Some(text) => parse(&text, sources)?,
            None => of_user(inputs)?,
        };
        Ok(Self { url, durability, pool_size })
    }

    /// The address for people: the password is masked.
    pub(crate) fn shown(&self) -> String {
        let mut shown = self.url.clone();
        if shown.password().is_some() && shown.set_password(Some("***")).is_err() {
            return format!("{}:***", self.url.scheme());
        }
        // A password may stand in a parameter too (`?password=..`).
        shown.set_query(None);
        shown.to_string()
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, durability, pool_size } = self;
        out.debug_struct("Storage")
            .field("url", &self.shown())
            .field("durability", durability)
            .field("pool_size", pool_size)
            .finish()
    }
}

fn parse(text: &str, sources: &Sources) -> Result<Url, ConfigError> {
    let fix = "use sqlite:///path/to/exai.db or postgres://user:password@host/database";
    let refused = |problem: &str| ConfigError::refused(sources.of(URL), URL, problem, fix);
    let url = Url::parse(text).map_err(|_| refused("not an address"))?;
    match url.scheme() {
        "sqlite" if url.path().len() > 1 || url.has_host() => Ok(url),
        "sqlite" => Err(refused("no file is named")),
        "postgres" | "postgresql" if url.has_host() => Ok(url),
        "postgres" | "postgresql" => Err(refused("no host is named")),
        _ => Err(refused("neither SQLite nor Postgres")),
    }
}

fn of_user(inputs: &Inputs) -> Result<Url, ConfigError> {
    let refused = |problem: &str| {
        let fix = "set storage.url (EXAI_STORAGE__URL), or set HOME";
        ConfigError::refused(crate::config::Source::Default, URL, problem, fix)
    };
    let folder =
        inputs.data_folder().ok_or_else(|| refused("HOME is not set, so there is no data folder"))?;
    let file = Url::from_file_path(folder.join("exai.db"))
        .map_err(|()| refused("the data folder has no usable path"))?;
    // `Url::set_scheme` refuses to leave the schemes that the URL standard calls special, of which `file` is one.
    Url::parse(&file.as_str().replacen("file:", "sqlite:", 1))
        .map_err(|_| refused("the data folder has no usable path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(url: &str) -> Result<Storage, ConfigError> {
        let raw = RawStorage { url: Some(url.to_owned()), ..RawStorage::default() };
        Storage::resolve(raw, &Sources::default(), &Inputs::default())
    }

    #[test]
    fn the_default_is_a_file_of_the_users() {
        let inputs = Inputs::of(&[("HOME", "/home/a b")]);
        let storage = Storage::resolve(RawStorage::default(), &Sources::default(), &inputs);
        assert_eq!(storage.unwrap().url.as_str(), "sqlite:///home/a%20b/.local/share/exai/exai.db");
    }

    #[test]
    fn without_a_home_the_error_says_what_to_set() {
        let error =
            Storage::resolve(RawStorage::default(), &Sources::default(), &Inputs::default()).unwrap_err();
        assert!(error.to_string().contains("set storage.url (EXAI_STORAGE__URL), or set HOME"), "{error}");
    }

    #[test]
    fn passwords_are_masked() {
        let storage = storage("postgres://exai:hunter2@db/exai?password=hunter2").unwrap();
        assert!(!format!("{storage:?} {}", storage.shown()).contains("hunter2"), "{storage:?}");
    }

    #[test]
    fn other_addresses_are_refused() {
        for url in ["exai.db", "mysql://db/exai", "sqlite://", "sqlite:///", "postgres:///exai", ""] {
            assert!(storage(url).is_err(), "{url}");
        }
    }
}
