//! What the configuration is read from: the environment, the folders that it names, and a path from the command line. The only
//! code that reads the process's environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::error::ConfigError;
use crate::config::sources::Source;

/// The configuration file's usual name.
const FILE_NAME: &str = "exai.toml";

/// Everything that a configuration is made of, taken once at the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inputs {
    /// The file of `--config`.
    pub(crate) file: Option<PathBuf>,
    variables: BTreeMap<String, OsString>,
    /// Whether the current folder is not known, and so holds no file of ours.
    elsewhere: bool,
}

impl Inputs {
    /// The process's environment, and the file of `--config` if there is one.
    pub(crate) fn of_process(file: Option<PathBuf>) -> Self {
        let readable = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self { file, variables: std::env::vars_os().filter_map(readable).collect(), elsewhere: false }
    }

    /// An environment of a test's own making.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), OsString::from(value));
        Self { file: None, variables: variables.iter().map(owned).collect(), elsewhere: false }
    }

    /// The same with one variable set, over what the process has.
    pub(crate) fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// What a program has that the same user launches anywhere with this file and these variables: nothing else of ours.
    pub(crate) fn elsewhere(&self, file: Option<PathBuf>, variables: &[(&str, &str)]) -> Self {
        let ours = |name: &str| name.starts_with("EXAI_") || name == "DATABASE_URL";
        let theirs = self.variables.iter().filter(|(name, _)| !ours(name));
        let theirs = theirs.map(|(name, value)| (name.clone(), value.clone()));
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
        Self { file, variables: theirs.chain(given).collect(), elsewhere: true }
    }

    /// A variable's value. An empty variable counts as unset: that is what compose files make of a missing one.
    pub(crate) fn variable(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        let Some(value) = self.variables.get(name).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let not_text = || {
            let origin = Source::Variable(name.to_owned());
            ConfigError::refused(origin, name, "the value is not UTF-8 text", "set it to plain text")
        };
        value.to_str().map(Some).ok_or_else(not_text)
    }

    /// The names of all variables that are set, in alphabetical order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str())
    }

    /// The file to read, if there is one: `--config`, `EXAI_CONFIG`, `./exai.toml`, the user's configuration folder. Whatever has
    /// the usual name was meant as the configuration: a folder or a broken link is refused when it is read, not passed over.
    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        if let Some(named) = &self.file {
            return Some(named.clone());
        }
        if let Some(named) = self.path("EXAI_CONFIG") {
            return Some(named);
        }
        let here = PathBuf::from(FILE_NAME);
        let of_user = self.config_folder().map(|folder| folder.join(FILE_NAME));
        let here = Some(here).filter(|_| !self.elsewhere);
        here.into_iter().chain(of_user).find(|file| file.symlink_metadata().is_ok())
    }

    /// The user's folder for EXAI's settings (XDG base directory specification); none without a home.
    pub(crate) fn config_folder(&self) -> Option<PathBuf> {
        self.user_folder("XDG_CONFIG_HOME", ".config")
    }

    /// The user's folder for EXAI's data (XDG base directory specification); none without a home.
    pub(crate) fn data_folder(&self) -> Option<PathBuf> {
        self.user_folder("XDG_DATA_HOME", ".local/share")
    }

    fn user_folder(&self, variable: &str, in_home: &str) -> Option<PathBuf> {
        // The specification wants relative paths ignored.
        let absolute = |path: &PathBuf| path.is_absolute();
        let base = self.path(variable).filter(absolute);
        let base = base.or_else(|| Some(self.path("HOME").filter(absolute)?.join(in_home)))?;
        Some(base.join("exai"))
    }

    /// A variable that holds a path; an empty one counts as unset.
    pub(crate) fn path(&self, variable: &str) -> Option<PathBuf> {
        let value = self.variables.get(variable).filter(|value| !value.is_empty())?;
        Some(Path::new(value).to_owned())
    }
}
