//! The token that opens both doors: from `EXAI_TOKEN`, or generated once and kept in the user's configuration folder. It is never
//! logged and never part of a principal.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{Config, Secret};
use crate::unix;

/// Random bytes of a generated token: 256 bits.
const RANDOM_BYTES: usize = 32;
/// Shorter tokens can be guessed.
const LENGTH_MIN: usize = 16;

/// The token that clients present.
#[derive(Debug, Clone)]
pub(crate) struct Token(Secret);

/// A token that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// The token's file holds something that no header can carry.
    #[error(
        "{path}: the token must be 1 to {max} visible ASCII characters without spaces; fix: delete the file to have a new one \
         generated",
        path = .path.display(),
        max = Token::LENGTH_MAX
    )]
    Unusable {
        /// The file.
        path: PathBuf,
    },
    /// There is no folder for the token.
    #[error("there is no folder for the token: HOME is not set; fix: set EXAI_TOKEN, or HOME")]
    NoFolder,
    /// Others can read the token's file.
    #[error("{path}: other users can read the token; fix: chmod 600 {path}", path = .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The file of the named tokens is broken.
    #[error("{path}: {problem}; fix: correct it, or delete the file and add the tokens again with `exai token add`", path = .path.display())]
    Keyring {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// Not a name for a token.
    #[error(
        "`{name}` is not a name for a token; fix: use at most 32 of a-z, 0-9, -, _ and ., and not `local`"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// There is a token of this name.
    #[error("there is a token `{name}` already; fix: revoke it first, or choose another name")]
    Taken {
        /// The name.
        name: String,
    },
    /// There is no token of this name.
    #[error("there is no token `{name}`; fix: `exai token list` names those there are")]
    Unknown {
        /// The name.
        name: String,
    },
    /// There are too many.
    #[error("there are {max} tokens already; fix: revoke those that nobody uses")]
    Many {
        /// How many there may be.
        max: usize,
    },
    /// The server would be open to other machines with a token that nobody chose.
    #[error(
        "{key} is {address}, which other machines reach, but no token was set for that; fix: set EXAI_TOKEN to {min} or more \
         random characters, or run `exai token add NAME`, or listen on 127.0.0.1",
        min = LENGTH_MIN
    )]
    NotOnPurpose {
        /// The key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The token's file cannot be read or made.
    #[error("{path}: the token's file cannot be read or made; fix: give it to this user with its folder, or set EXAI_TOKEN", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl TokenError {
    /// Whether the settings are wrong, and not the disk.
    pub(crate) fn is_misconfigured(&self) -> bool {
        match self {
            Self::Unusable { .. }
            | Self::NoFolder
            | Self::Exposed { .. }
            | Self::Keyring { .. }
            | Self::Name { .. }
            | Self::Taken { .. }
            | Self::Unknown { .. }
            | Self::Many { .. }
            | Self::NotOnPurpose { .. } => true,
            Self::File { .. } => false,
        }
    }
}

impl Token {
    /// The longest token, in bytes: it has to fit into a header.
    pub(crate) const LENGTH_MAX: usize = 512;

    /// A token as somebody wrote it; none where no header can carry it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let token = text.trim();
        let fits = !token.is_empty() && token.len() <= Self::LENGTH_MAX;
        (fits && token.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(token.into()))
    }

    /// The token in force. Makes the file if there is neither a file nor `EXAI_TOKEN`.
    pub(crate) fn of(config: &Config) -> Result<Self, TokenError> {
        if let Some(token) = &config.token {
            return Ok(token.clone());
        }
        let path = config.token_file.as_deref().ok_or(TokenError::NoFolder)?;
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        match read(path) {
            Err(TokenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        create(path).map_err(failed)?;
        // Another process may have been first: what the file says holds.
        read(path)
    }

    /// The token in force, without making one; none where there is none yet.
    pub(crate) fn existing(config: &Config) -> Result<Option<Self>, TokenError> {
        if let Some(token) = &config.token {
            return Ok(Some(token.clone()));
        }
        match read(config.token_file.as_deref().ok_or(TokenError::NoFolder)?) {
            Err(TokenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// A token that nobody else has, kept nowhere.
    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Ok(Self(hex.into()))
    }

    /// A token of a test's own making.
    #[cfg(test)]
    pub(crate) fn from_secret(secret: Secret) -> Self {
        Self(secret)
    }

    /// The token itself, for the wire and for the person who asked for it.
    pub(crate) fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// Whether it is short enough to be guessed.
    pub(crate) fn is_weak(&self) -> bool {
        self.reveal().len() < LENGTH_MIN
    }
}

fn read(path: &Path) -> Result<Token, TokenError> {
    let failed = |source| TokenError::File { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(failed)?;
    if !unix::is_private(&fs::metadata(path).map_err(failed)?) {
        return Err(TokenError::Exposed { path: path.to_owned() });
    }
    Token::parse(&text).ok_or_else(|| TokenError::Unusable { path: path.to_owned() })
}

/// Writes a new token. The file appears whole, with mode 0600, or not at all; one that is there already is left alone.
fn create(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    unix::make_private_folder(folder)?;
    let mut file = tempfile::Builder::new().prefix(".token").tempfile_in(folder)?;
    writeln!(file, "{}", Token::random()?.reveal())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::Inputs;

    fn config(folder: &Path, token: &str) -> Config {
        let folder = folder.to_str().unwrap();
        Config::load(&Inputs::of(&[("HOME", folder), ("EXAI_TOKEN", token)])).unwrap()
    }

    #[test]
    fn a_token_is_made_once_and_kept_private() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path(), "");
        let first = Token::of(&config).unwrap();
        assert_eq!(first.reveal().len(), RANDOM_BYTES * 2);
        assert_eq!(Token::of(&config).unwrap().reveal(), first.reveal());
        let file = home.path().join(".config/exai/token");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Token::of(&config), Err(TokenError::Exposed { .. })));
    }

    #[test]
    fn many_first_starts_agree() {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path(), "");
        let tokens = std::thread::scope(|threads| {
            let starts = (0..8).map(|_| threads.spawn(|| Token::of(&config).unwrap().reveal().to_owned()));
            starts.collect::<Vec<_>>().into_iter().map(|start| start.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    }

    #[test]
    fn the_variable_wins() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(
            Token::of(&config(home.path(), "from-the-environment")).unwrap().reveal(),
            "from-the-environment"
        );
        assert!(!home.path().join(".config").exists());
    }
}
