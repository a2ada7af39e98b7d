//! The named tokens: a file in the user's configuration folder that holds their digests, never the tokens. The daemon reads it again
//! as soon as it changes; a file that cannot be used changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::digest;
use super::scopes::Scope;
use super::token::{Token, TokenError};
use crate::unix;

/// Tokens that the file may hold.
const TOKENS_MAX: usize = 256;
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The longest name, in bytes; it is a principal, and stands in every row of its calls.
const NAME_BYTES_MAX: usize = 32;
/// Whom the token without a name stands for.
pub(super) const LOCAL: &str = "local";

/// A named token: all but the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// What it opens.
    pub(crate) scopes: Vec<Scope>,
    /// The SHA-256 of the token, in hex. A token of ours is 256 random bits, so nothing slower is needed.
    sha256: Digest,
    /// When it was made (RFC 3339).
    pub(crate) made: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Digest([u8; 32]);

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    tokens: BTreeMap<String, Entry>,
}

/// The tokens in force, by name.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// The file as the daemon last saw it.
pub(super) struct Keyring {
    path: Option<PathBuf>,
    seen: Mutex<Option<Stamp>>,
    entries: watch::Sender<Arc<Entries>>,
}

/// What tells one state of the file from the next: it is always replaced as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
    bytes: u64,
}

impl Keyring {
    /// No named tokens, ever.
    pub(super) fn none() -> Self {
        Self { path: None, seen: Mutex::default(), entries: watch::Sender::default() }
    }

    /// The file at `path`, which need not be there.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, TokenError> {
        let Some(path) = path else { return Ok(Self::none()) };
        let stamp = stamp(path);
        let entries = watch::Sender::new(Arc::new(read(path)?));
        Ok(Self { path: Some(path.to_owned()), seen: Mutex::new(stamp), entries })
    }

    /// The tokens in force: what the file says, as long as it can be used.
    pub(super) fn entries(&self) -> Arc<Entries> {
        let Some(path) = &self.path else { return Arc::default() };
        let stamp = stamp(path);
        let mut seen = self.seen.lock();
        if *seen != stamp {
            *seen = stamp;
            match read(path) {
                Ok(entries) => {
                    log::info!(tokens = entries.len(); "the named tokens were read again");
                    self.entries.send_replace(Arc::new(entries));
                }
                Err(error) => log::error!("the named tokens stay as they were: {error}"),
            }
        }
        drop(seen);
        Arc::clone(&self.entries.borrow())
    }

    /// The tokens in force, whenever somebody has looked and they had changed.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<Entries>> {
        self.entries.subscribe()
    }
}

impl Entry {
    /// Whether this is `token`, and it has the scope.
    pub(crate) fn opens(&self, token: &str, scope: Scope) -> bool {
        self.sha256.0 == digest(token) && self.scopes.contains(&scope)
    }

    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.sha256.0
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.as_bytes();
        let mut digest = [0; 32];
        if digits.len() != 2 * digest.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("a sha256 is 64 hex digits");
        }
        for (place, byte) in digest.iter_mut().enumerate() {
            let pair = text.get(2 * place..2 * place + 2).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).map_err(|_| "a sha256 is 64 hex digits")?;
        }
        Ok(Self(digest))
    }
}

/// The named tokens of the file at `path`; none where there is no file.
pub(crate) fn read(path: &Path) -> Result<Entries, TokenError> {
    let failed = |source| TokenError::File { path: path.to_owned(), source };
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entries::new()),
        Err(error) => return Err(failed(error)),
    };
    if !unix::is_private(&meta) {
        return Err(TokenError::Exposed { path: path.to_owned() });
    }
    let bad = |problem: String| TokenError::Keyring { path: path.to_owned(), problem };
    if meta.len() > FILE_BYTES_MAX {
        return Err(bad("it is too large".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let document = toml::from_str::<Document>(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        bad(format!("line {line}: {}", error.message()))
    })?;
    if document.tokens.len() > TOKENS_MAX {
        return Err(bad(format!("it has more than {TOKENS_MAX} tokens")));
    }
    match document.tokens.keys().find(|name| !is_name(name)) {
        Some(_) => Err(bad("a token's name is not one".to_owned())),
        None => Ok(document.tokens),
    }
}

/// Makes a token, keeps its digest, and gives the token: the only time that anybody sees it.
pub(crate) fn add(path: &Path, name: &str, scopes: &[Scope], made: String) -> Result<Token, TokenError> {
    if !is_name(name) {
        return Err(TokenError::Name { name: name.to_owned() });
    }
    let token = Token::random().map_err(|source| TokenError::File { path: path.to_owned(), source })?;
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    let entry = Entry { scopes, sha256: Digest(digest(token.reveal())), made };
    change(path, |entries| {
        if entries.contains_key(name) {
            return Err(TokenError::Taken { name: name.to_owned() });
        }
        if entries.len() >= TOKENS_MAX {
            return Err(TokenError::Many { max: TOKENS_MAX });
        }
        entries.insert(name.to_owned(), entry);
        Ok(())
    })?;
    Ok(token)
}

/// Forgets a token: it opens nothing from here on.
pub(crate) fn revoke(path: &Path, name: &str) -> Result<(), TokenError> {
    change(path, |entries| match entries.remove(name) {
        Some(_) => Ok(()),
        None => Err(TokenError::Unknown { name: name.to_owned() }),
    })
}

/// A name becomes a principal and is shown on pages: few characters, and not that of the token without a name.
fn is_name(name: &str) -> bool {
    let good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(good) && name != LOCAL
}

/// Reads, changes and replaces the file as a whole, one process after another.
fn change(path: &Path, with: impl FnOnce(&mut Entries) -> Result<(), TokenError>) -> Result<(), TokenError> {
    let failed = |source| TokenError::File { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    unix::make_private_folder(folder).map_err(failed)?;
    let lock = File::create(path.with_extension("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut tokens = read(path)?;
    with(&mut tokens)?;
    let text = toml::to_string(&Document { tokens }).map_err(|error| failed(io::Error::other(error)))?;
    let mut file = tempfile::Builder::new().prefix(".tokens").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    let (seconds, nanoseconds) = (meta.mtime(), meta.mtime_nsec());
    Some(Stamp { inode: meta.ino(), seconds, nanoseconds, bytes: meta.len() })
}
