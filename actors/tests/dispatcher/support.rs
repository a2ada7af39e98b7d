//! A whole system on this thread: a database file, the doubles of Kimi and GLM, and everything between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Arbiter};
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};
use exai_actors::dispatcher::admission::Limits;
use exai_actors::dispatcher::messages::{
    Attached, Caller, Cancel, Consult, Drain, Finished, GetLoad, GetPartial, Load, Question,
};
use exai_actors::dispatcher::{Dispatcher, ProviderLink, Setup};
use exai_actors::error::CallError;
use exai_actors::health::HealthBoard;
use exai_actors::ids::{CallId, Principal, ProviderName, SessionId};
use exai_actors::mail;
use exai_actors::metrics;
use exai_actors::models::{Catalogue, CurrentCatalogue};
use exai_actors::provider::dialect::Dialect;
use exai_actors::provider::endpoint::Key;
use exai_actors::provider_supervisor::{self, ProviderConfig};
use exai_actors::storage::rows::StoredCall;
use exai_actors::storage::{self, Durability, Store, Url};
use exai_actors::storage_writer::{self, Wiring};
use exai_upstream::{Make, Upstream};
use tempfile::TempDir;
use tokio::sync::watch;

/// Long enough for anything on loopback.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Core {
    pub(crate) kimi: Upstream,
    pub(crate) glm: Upstream,
    dispatcher: Addr<Dispatcher>,
    store: Store,
    session: SessionId,
    folder: TempDir,
}

/// A question to the default model.
pub(crate) fn ask(prompt: &str) -> Question {
    Question {
        tool: "chat".into(),
        prompt: prompt.into(),
        prompt_tokens: exai_actors::models::tokens::estimate(prompt),
        model: None,
        conversation: None,
        temperature: None,
        thinking: None,
        output_tokens_max: None,
    }
}

fn principal() -> Principal {
    "tester".into()
}

impl Core {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = Url::sqlite(folder.path().join("exai.db"));
        let migrated = url.clone();
        tokio::task::spawn_blocking(move || storage::migrate(&migrated))
            .await
            .expect("joined")
            .expect("migrated");
        let arbiter = Arbiter::current();
        let board = HealthBoard::default();
        let writer = storage_writer::start(
            Wiring {
                arbiter: &arbiter,
                url: url.clone(),
                durability: Durability::Process,
                board: board.clone(),
                facts: watch::channel(Default::default()).0,
                limits: Default::default(),
                spool: None,
            },
            |_| {},
        );
        let store = Store::open(&url, 4, board.clone()).expect("opened");
        let (kimi, glm) =
            (Upstream::start(Make::Kimi).expect("kimi"), Upstream::start(Make::Glm).expect("glm"));
        let metrics = metrics::start(metrics::Wiring { arbiter: &arbiter, flushing: None }, |_| {}).address;
        let mut providers = BTreeMap::new();
        for (name, dialect, upstream) in [("kimi", Dialect::Kimi, &kimi), ("glm", Dialect::Glm, &glm)] {
            let name = ProviderName::from(name);
            let config =
                ProviderConfig::new(name.clone(), dialect, upstream.base_url(), Key::new(name.as_str()));
            let wiring = provider_supervisor::Wiring {
                arbiter: &arbiter,
                board: board.clone(),
                metrics: metrics.clone(),
            };
            let started = provider_supervisor::start(&config, wiring, |_, _| {});
            let supervisor = started.expect("a good endpoint");
            providers.insert(name, ProviderLink { supervisor, host: upstream.addr().to_string() });
        }
        let names = providers.keys().map(|name| (name.clone(), Vec::new())).collect::<Vec<_>>();
        let mut setup = Setup {
            catalogue: CurrentCatalogue::fixed(
                Catalogue::new(names.into_iter()).expect("the catalogue is good"),
            ),
            default_model: "kimi-k2.6".to_owned(),
            limits: Limits {
                global: 64,
                per_session: 32,
                per_conversation: 1,
                per_provider: [("kimi".into(), 8), ("glm".into(), 8)].into(),
            },
            queue_wait: SOON,
            deadline: SOON,
            replica: "test".to_owned(),
            store: store.clone(),
            writer,
            load: watch::channel(Default::default()).0,
            providers,
        };
        change(&mut setup);
        let dispatcher = Dispatcher::start(&arbiter, setup, |_| {});
        Self { kimi, glm, dispatcher, store, session: SessionId::mint(), folder }
    }

    pub(crate) async fn consult(&self, question: Question, key: Option<&str>) -> Result<Attached, CallError> {
        let idempotency_key = key.map(Into::into);
        let caller = Caller { idempotency_key, ..Caller::new(principal(), self.session) };
        mail::ask(&self.dispatcher, Consult::new(caller, question), SOON).await.expect("the dispatcher lives")
    }

    pub(crate) async fn answer(&self, question: Question) -> Result<Finished, CallError> {
        let mut attached = self.consult(question, None).await?;
        Arc::unwrap_or_clone(attached.answered().await)
    }

    pub(crate) async fn keyed(&self, question: Question, key: &str) -> Result<Finished, CallError> {
        let mut attached = self.consult(question, Some(key)).await?;
        Arc::unwrap_or_clone(attached.answered().await)
    }

    pub(crate) async fn partial(&self, call: CallId) -> Option<String> {
        let ask = GetPartial { principal: principal(), call };
        mail::ask(&self.dispatcher, ask, SOON).await.expect("the dispatcher lives")
    }

    /// Gives the call up for one who followed it.
    pub(crate) fn give_up(&self, attached: Attached) {
        let Attached { call, follower, .. } = attached;
        mail::tell(&self.dispatcher, Cancel { principal: principal(), call, follower: Some(follower) })
            .expect("the dispatcher lives");
    }

    pub(crate) fn cancel(&self, call: CallId) {
        mail::tell(&self.dispatcher, Cancel { principal: principal(), call, follower: None })
            .expect("the dispatcher lives");
    }

    pub(crate) async fn drain(&self, within: Duration) -> usize {
        mail::ask(&self.dispatcher, Drain { within }, SOON).await.expect("the dispatcher lives")
    }

    pub(crate) async fn load(&self) -> Load {
        mail::ask(&self.dispatcher, GetLoad, SOON).await.expect("the dispatcher lives")
    }

    pub(crate) async fn stored(&self, call: CallId) -> Option<StoredCall> {
        self.store.load_call(&principal(), call).await.expect("read")
    }

    /// The texts that a query gives, as column `t`.
    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            t: String,
        }
        let rows = diesel::sql_query(sql).get_results::<Row>(&mut self.file()).expect("a good query");
        rows.into_iter().map(|row| row.t).collect()
    }

    /// Keeps everybody else from writing to the database until this is dropped.
    pub(crate) fn lock(&self) -> SqliteConnection {
        let mut file = self.file();
        file.batch_execute("BEGIN IMMEDIATE").expect("locked");
        file
    }

    fn file(&self) -> SqliteConnection {
        let path = self.folder.path().join("exai.db");
        let mut file = SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("the database");
        file.batch_execute("PRAGMA busy_timeout = 10000").expect("set");
        file
    }

    pub(crate) fn host(&self, make: Make) -> String {
        match make {
            Make::Kimi | Make::OpenAi => self.kimi.addr().to_string(),
            Make::Glm => self.glm.addr().to_string(),
        }
    }
}
