//! Where every value in force came from, for errors at the start and for `exai doctor`. Holds no values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Source {
    /// Nobody set it: the documented default holds.
    #[default]
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { path, line } => write!(out, "{} line {line}", path.display()),
            Self::Variable(name) => write!(out, "environment variable {name}"),
        }
    }
}

/// The source of every key that somebody set, by the key's dotted name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources(BTreeMap<String, Source>);

impl Sources {
    /// Where `key` came from.
    pub(crate) fn of(&self, key: &str) -> Source {
        self.0.get(key).cloned().unwrap_or_default()
    }

    /// Whether anybody set `key`.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Every key that somebody set.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.0.iter().map(|(key, source)| (key.as_str(), source))
    }

    /// Where the file is that `key` names: a relative path starts in the folder of the `exai.toml` that states it, so that whoever reads
    /// the same settings means the same file, and one that a variable states in the current folder, like any path in a shell.
    pub(super) fn located(&self, key: &str, path: PathBuf) -> PathBuf {
        match self.0.get(key) {
            Some(Source::File { path: file, .. }) => {
                let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                file.parent().map_or_else(|| path.clone(), |folder| folder.join(&path))
            }
            Some(Source::Variable(_) | Source::Default) | None => path,
        }
    }

    /// Notes who set `key`; the last one wins.
    pub(super) fn note(&mut self, key: impl Into<String>, source: Source) {
        self.0.insert(key.into(), source);
    }
}
