//! Everything that a storm needs: the daemon, doubles of Kimi and GLM that outlive it, a database, and what is known of all of them.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use exai_upstream::{Entry, Make, Upstream};
use fastrand::Rng;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::book::Book;
use crate::client::{Client, TOKEN};
use crate::clock;
use crate::counted;
use crate::daemon::{Daemon, Start};
use crate::database::Database;
use crate::oracle::{Rule, Violation, tag_of};
use crate::panics::Planter;
use crate::postgres::Postgres;
use crate::weather::Weather;
use crate::ws;

/// How soon after it listens nothing is open, and how soon everything is at rest (issue, done when 2).
pub(crate) const RESOLVED_WITHIN: Duration = Duration::from_secs(5);
/// How long a database that was stopped may take until it answers again.
const DATABASE_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Which database a storm runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// A file in the storm's own folder.
    Sqlite,
    /// A private server, started and stopped by the storm.
    Postgres,
}

/// What a storm is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary to storm.
    pub exai: PathBuf,
    /// What everything random is drawn from.
    pub seed: u64,
    /// The database.
    pub store: Store,
    /// `tests/support/postgres.sh`, for storms that need a Postgres of their own.
    pub postgres_script: PathBuf,
    /// Where the clients' journal is kept; nowhere by default.
    pub journal: Option<PathBuf>,
    /// How long the whole storm may take; beyond it something hangs.
    pub deadline: Duration,
    /// What is left out.
    pub without: Vec<Fault>,
}

/// What can be left out of a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Clients that cancel, leave, stop reading or ask twice.
    Clients,
    /// Upstreams that refuse, break off and hang.
    Upstream,
    /// Planted panics, which need a binary with the cargo feature `faults`.
    Panics,
    /// kill -9, where a storm has other endings too.
    Kill,
    /// SIGTERM, where a storm has other endings too.
    Term,
}

impl Settings {
    /// Whether that happens.
    pub(crate) fn with(&self, fault: Fault) -> bool {
        !self.without.contains(&fault)
    }
}

/// A stretch of the journals that has not been judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mark {
    pub(crate) call: String,
    kimi: u64,
    glm: u64,
}

/// The world of one storm.
pub(crate) struct World {
    pub(crate) start: Start,
    pub(crate) daemon: Daemon,
    pub(crate) kimi: Upstream,
    pub(crate) glm: Upstream,
    pub(crate) db: Database,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) book: Book,
    pub(crate) rng: Rng,
    pub(crate) seed: u64,
    /// Where clients connect; nowhere while the daemon is down.
    pub(crate) address: watch::Sender<Option<SocketAddr>>,
    /// The key of each call, as it was when it was seen.
    pub(crate) tags: HashMap<String, String>,
    /// Questions whose outcome was unknown after a start, with the upstream requests that they had had.
    pub(crate) unknown: HashMap<String, usize>,
    pub(crate) panics: Vec<Duration>,
    /// It remembers across chapters: an actor's supervisor counts deaths by the minute.
    pub(crate) planter: Planter,
    pub(crate) chapters: usize,
    /// Where the journals stood when the daemon's life began.
    pub(crate) born: Mark,
    _folder: TempDir,
}

impl World {
    /// Starts everything; `more` are variables of the daemon's environment, and `database` a place of its own for the file.
    pub(crate) async fn start(
        settings: &Settings,
        more: &[(&str, String)],
        database: Option<&Path>,
    ) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("exai-storm-").tempdir()?;
        let (kimi, glm) = (Upstream::start(Make::Kimi)?, Upstream::start(Make::Glm)?);
        let (db, postgres) = database_of(settings, database.unwrap_or(folder.path())).await?;
        let mut variables = vec![
            ("EXAI_LISTEN__MCP".to_owned(), "127.0.0.1:0".to_owned()),
            ("EXAI_LISTEN__DASHBOARD".to_owned(), "127.0.0.1:0".to_owned()),
            ("EXAI_TOKEN".to_owned(), TOKEN.to_owned()),
            ("EXAI_STORAGE__URL".to_owned(), db.url()),
            ("EXAI_LIMITS__REQUESTS_PER_SECOND".to_owned(), "100000".to_owned()),
            ("EXAI_LIMITS__BURST".to_owned(), "100000".to_owned()),
            ("EXAI_METRICS__FLUSH_S".to_owned(), counted::FLUSH_S.to_string()),
        ];
        for (name, double) in [("KIMI", &kimi), ("GLM", &glm)] {
            variables.push((format!("EXAI_PROVIDERS__{name}__BASE_URL"), double.base_url()));
            variables.push((format!("EXAI_PROVIDERS__{name}__API_KEY"), format!("sk-{name}")));
        }
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let start = Start { exai: settings.exai.clone(), home: folder.path().to_owned(), variables };
        let daemon = Daemon::start(&start).await?;
        let book = Book::new(settings.journal.as_deref())?;
        let address = watch::channel(Some(daemon.mcp)).0;
        Ok(Self {
            start,
            daemon,
            kimi,
            glm,
            db,
            postgres,
            book,
            rng: Rng::with_seed(settings.seed),
            seed: settings.seed,
            address,
            tags: HashMap::new(),
            unknown: HashMap::new(),
            panics: Vec::new(),
            planter: Planter::default(),
            chapters: 0,
            born: Mark::default(),
            _folder: folder,
        })
    }

    /// Ends the daemon as a crash would.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.address.send_replace(None);
        self.daemon.kill9().await
    }

    /// Starts it again, on the same home and the same database.
    pub(crate) async fn restart(&mut self) -> io::Result<()> {
        self.daemon = Daemon::start(&self.start).await?;
        self.born = self.mark().await?;
        self.address.send_replace(Some(self.daemon.mcp));
        Ok(())
    }

    /// Makes the doubles do as the weather says with the next requests.
    pub(crate) fn weather(&mut self, weather: Weather, requests: usize) {
        weather.plan(&self.kimi, requests, &mut self.rng);
        weather.plan(&self.glm, requests, &mut self.rng);
    }

    /// Upstream requests under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.kimi.in_flight() + self.glm.in_flight()
    }

    /// Everything up to here has been judged.
    pub(crate) async fn mark(&self) -> io::Result<Mark> {
        let newest = |double: &Upstream| double.journal().last().map_or(0, |entry| entry.n);
        Ok(Mark { call: self.db.newest().await?, kimi: newest(&self.kimi), glm: newest(&self.glm) })
    }

    /// The chat requests that reached the doubles since then.
    pub(crate) fn entries(&self, since: &Mark) -> Vec<Entry> {
        let of = |double: &Upstream, after: u64| {
            let mut entries = double.journal();
            entries.retain(|entry| entry.n > after && entry.path.ends_with("/chat/completions"));
            entries
        };
        [of(&self.kimi, since.kimi), of(&self.glm, since.glm)].concat()
    }

    /// Waits until no row is open, at most `within`; how long after the daemon listened that was, or how many rows stay open.
    pub(crate) async fn until_resolved(&self, within: Duration) -> io::Result<Result<Duration, i64>> {
        let asked = clock::now();
        loop {
            let open = self.db.open_rows().await?;
            let now = clock::now();
            if open == 0 {
                return Ok(Ok(now.duration_since(self.daemon.listening)));
            }
            if now.duration_since(asked) > within {
                return Ok(Err(open));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Notes whose calls these are, and which outcomes nobody knows.
    pub(crate) async fn learn(&mut self, since: &Mark) -> io::Result<HashMap<String, (String, String)>> {
        let mut requests: HashMap<String, usize> = HashMap::new();
        for entry in self.entries(since) {
            *requests.entry(tag_of(&entry).to_owned()).or_default() += 1;
        }
        let mut states = HashMap::new();
        for row in self.db.calls(&since.call).await? {
            let Some(key) = row.key else { continue };
            self.tags.insert(row.id.clone(), key.clone());
            if row.state == "unknown" {
                self.unknown.insert(key.clone(), requests.get(&key).copied().unwrap_or(0));
            }
            states.insert(key, (row.id, row.state));
        }
        Ok(states)
    }

    /// Waits until nothing is held anywhere; what was still held if it never came to that.
    pub(crate) async fn until_at_rest(&self) -> Option<Violation> {
        let by = clock::now() + RESOLVED_WITHIN;
        let broken = |what: String| Some(Violation::new(Rule::AtRest, "the daemon", what));
        let mut seen = "no status was to be had".to_owned();
        while clock::now() < by {
            if let Ok(mut client) = Client::connect(self.daemon.mcp, false, &self.book).await
                && let Ok(status) = client.structured("status").await
            {
                let load = &status["load"];
                let whole = load["permits"].as_array().is_some_and(|permits| {
                    !permits.is_empty() && permits.iter().all(|permit| permit["in_use"] == 0)
                });
                seen = format!("{} upstream requests under way, load {load}", self.in_flight());
                let idle = ["in_flight", "waiting", "live"].iter().all(|what| load[*what] == 0);
                if whole && idle && self.in_flight() == 0 {
                    return None;
                }
            }
            tokio::time::sleep(POLL).await;
        }
        broken(format!("not at rest after {RESOLVED_WITHIN:?}: {seen}"))
    }

    /// Plants a panic; whether the binary can.
    pub(crate) async fn plant(&mut self, point: &str) -> io::Result<bool> {
        let planted = ws::http(self.daemon.mcp, "POST", &format!("/faults/{point}"), TOKEN).await? == 204;
        if planted {
            self.panics.push(self.book.now());
        }
        Ok(planted)
    }

    /// Waits until the daemon says that it takes calls; how long that took.
    pub(crate) async fn until_ready(&self) -> Option<Duration> {
        let asked = clock::now();
        while clock::now().duration_since(asked) < DATABASE_WITHIN {
            if ws::http(self.daemon.dashboard, "GET", "/health/ready", TOKEN)
                .await
                .is_ok_and(|code| code == 200)
            {
                return Some(clock::now().duration_since(asked));
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }
}

async fn database_of(settings: &Settings, folder: &Path) -> io::Result<(Database, Option<Postgres>)> {
    if settings.store == Store::Sqlite {
        return Ok((Database::Sqlite(folder.join("exai.db")), None));
    }
    let postgres = Postgres::start(&settings.postgres_script)?;
    let db = Database::on_server(&postgres.url, "storm").await?;
    Ok((db, Some(postgres)))
}
