//! Where the database is, parsed once. Its text forms never show a password, in logs and errors alike.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address of the database: `sqlite://path` (relative or absolute) or `postgres://user:password@host:port/name`.
///
/// On Postgres `sslmode` has libpq's meaning (PostgreSQL manual, section "SSL Support"), `prefer` when not given; see [`TlsMode`].
/// `sslrootcert=FILE` names the PEM file of the authorities to trust; without it, or as `sslrootcert=system`, the authorities
/// compiled into this binary (Mozilla's list) are trusted.
#[derive(Clone, PartialEq, Eq)]
pub enum Url {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A server.
    Postgres(PostgresUrl),
}

/// The address of a Postgres server and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// What tokio-postgres understands: everything but our TLS keys. Holds the password.
    pub(super) plain: String,
    /// How the connection is protected.
    pub(super) tls: TlsMode,
    /// The authorities to trust; those compiled in when none.
    pub(super) root_cert: Option<PathBuf>,
}

/// How a Postgres connection is protected: libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// `disable`: never encrypted.
    Disable,
    /// `prefer`: encrypted if the server can; nothing is verified, so it stops no one who sits in between.
    Prefer,
    /// `require`: encrypted or not at all. Nothing is verified, unless `sslrootcert` is given: then as `verify-ca`.
    Require,
    /// `verify-ca`: the server's certificate must come from a trusted authority; whose name it bears does not matter.
    VerifyCa,
    /// `verify-full`: a trusted authority, and the name in the certificate is the host's.
    VerifyFull,
}

/// Why a text is not the address of a database. Never quotes it: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// No known scheme.
    #[error("the storage url must start with sqlite://, postgres:// or postgresql://")]
    Scheme,
    /// A database that dies with the process.
    #[error(
        "sqlite in memory is refused: an acknowledged call must survive the process; name a file, such as sqlite:///var/lib/exai/exai.db"
    )]
    Memory,
    /// No file.
    #[error("the storage url names no file: sqlite://path is expected")]
    NoPath,
    /// SQLite's options are ours to set.
    #[error("a sqlite url takes no options after `?`, and its path holds neither `?` nor `#`")]
    SqliteOptions,
    /// An unknown `sslmode`.
    #[error("sslmode must be one of disable, prefer, require, verify-ca, verify-full")]
    SslMode,
    /// tokio-postgres does not understand the rest.
    #[error("the postgres url cannot be read: postgres://user:password@host:port/name is expected")]
    Postgres,
}

impl Url {
    /// The database's kind, for people: `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// The same with every file that it names put where `place` says.
    #[must_use]
    pub fn with_files(self, place: impl Fn(PathBuf) -> PathBuf) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(place(path)),
            Self::Postgres(url) => Self::Postgres(PostgresUrl { root_cert: url.root_cert.map(place), ..url }),
        }
    }

    /// The address of a SQLite file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self::Sqlite(path.into())
    }
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if let Some(path) = text.strip_prefix("sqlite://") {
            return sqlite(path);
        }
        if text.starts_with("sqlite::memory:") {
            return Err(InvalidUrl::Memory);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return postgres(text);
        }
        Err(InvalidUrl::Scheme)
    }
}

fn sqlite(path: &str) -> Result<Url, InvalidUrl> {
    if path.contains(":memory:") {
        return Err(InvalidUrl::Memory);
    }
    if path.is_empty() || path.ends_with('/') {
        return Err(InvalidUrl::NoPath);
    }
    if path.contains(['?', '#', '\0']) {
        return Err(InvalidUrl::SqliteOptions);
    }
    Ok(Url::Sqlite(PathBuf::from(path)))
}

fn postgres(text: &str) -> Result<Url, InvalidUrl> {
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let mut tls = TlsMode::Prefer;
    let mut root_cert = None;
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => tls = mode.parse()?,
            Some(("sslrootcert", "system")) => root_cert = None,
            Some(("sslrootcert", path)) => root_cert = Some(PathBuf::from(percent_decoded(path))),
            Some(_) | None => kept.push(pair),
        }
    }
    let plain = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    // The source is not kept: its text may quote a part of the url.
    plain.parse::<tokio_postgres::Config>().map_err(|_| InvalidUrl::Postgres)?;
    Ok(Url::Postgres(PostgresUrl { plain, tls, root_cert }))
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("k={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

impl FromStr for TlsMode {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(InvalidUrl::SslMode),
        }
    }
}

impl TlsMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(out, "sqlite://{}", path.display()),
            Self::Postgres(url) => url.fmt(out),
        }
    }
}

impl fmt::Display for PostgresUrl {
    /// The user and the host; a password, and every option that could hold one, is left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.plain.split('?').next().unwrap_or_default();
        let (scheme, rest) = base.split_once("://").unwrap_or(("postgres", base));
        let shown = match rest.rsplit_once('@') {
            None => rest.to_owned(),
            Some((user, host)) => match user.split_once(':') {
                None => format!("{user}@{host}"),
                Some((user, _)) => format!("{user}:***@{host}"),
            },
        };
        write!(out, "{scheme}://{shown}?sslmode={}", self.tls.as_str())?;
        match &self.root_cert {
            None => Ok(()),
            Some(path) => write!(out, "&sslrootcert={}", Path::display(path)),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for text in [
            "postgres://exai:s3cret@db.example:5432/exai",
            "postgresql://exai:s3c@ret@db.example/exai?sslmode=require&application_name=x",
            "postgres://exai@db.example/exai?password=s3cret",
        ] {
            let url = text.parse::<Url>().unwrap();
            let shown = format!("{url} {url:?}");
            assert!(!shown.contains("s3c") && !shown.contains("ret@"), "{shown}");
            assert!(shown.contains("db.example"), "{shown}");
        }
    }

    #[test]
    fn tls_keys_are_ours_and_the_rest_is_postgres() {
        let text = "postgres://h/db?sslmode=verify-full&application_name=exai&sslrootcert=/etc/my%20ca.pem";
        let Ok(Url::Postgres(url)) = text.parse() else { panic!("{text}") };
        assert_eq!(url.plain, "postgres://h/db?application_name=exai");
        assert_eq!(url.tls, TlsMode::VerifyFull);
        assert_eq!(url.root_cert, Some(PathBuf::from("/etc/my ca.pem")));
    }

    #[test]
    fn sqlite_paths_are_relative_or_absolute() {
        assert_eq!("sqlite://data/exai.db".parse(), Ok(Url::sqlite("data/exai.db")));
        assert_eq!("sqlite:///data/exai.db".parse(), Ok(Url::sqlite("/data/exai.db")));
    }

    #[test]
    fn what_cannot_be_a_database_is_refused_with_its_reason() {
        for (text, why) in [
            ("mysql://h/db", InvalidUrl::Scheme),
            ("exai.db", InvalidUrl::Scheme),
            ("sqlite::memory:", InvalidUrl::Memory),
            ("sqlite://:memory:", InvalidUrl::Memory),
            ("sqlite://", InvalidUrl::NoPath),
            ("sqlite://x?mode=ro", InvalidUrl::SqliteOptions),
            ("postgres://h/db?sslmode=maybe", InvalidUrl::SslMode),
            ("postgres://h:port/db", InvalidUrl::Postgres),
        ] {
            assert_eq!(text.parse::<Url>(), Err(why), "{text}");
        }
    }
}
