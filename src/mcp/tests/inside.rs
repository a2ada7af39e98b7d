//! The inside of a server that has nobody to ask: what these tests call answers at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix::dev::channel::channel;
use actix_rt::Arbiter;
use exai_actors::clock;
use exai_actors::dispatcher::admission::Limits;
use exai_actors::dispatcher::{Dispatcher, Setup};
use exai_actors::health::HealthBoard;
use exai_actors::ids::{CallId, ConversationId, SessionId};
use exai_actors::models::{Catalogue, CurrentCatalogue};
use exai_actors::storage::rows::{CallState, EndedCall, NewCall};
use exai_actors::storage::{self, Durability, Store, Url};
use exai_actors::storage_writer::messages::Record;
use exai_actors::storage_writer::{self, StorageWriter, Wiring};
use exai_actors::tools::{About, Parts, Toolbox};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;

const LONG: Duration = Duration::from_secs(30);

/// A toolbox whose actors have all gone, for handlers that never use it.
pub(super) fn nobody() -> Toolbox {
    deaf().0
}

/// A toolbox whose dispatcher takes messages and never answers, for as long as what comes with it is held.
pub(super) fn deaf() -> (Toolbox, impl Sized) {
    let url = Url::sqlite("nowhere.db");
    let store = Store::open(&url, 1, HealthBoard::default()).unwrap();
    let (to_dispatcher, deaf) = channel(1);
    let (dispatcher, metrics) = (Addr::new(to_dispatcher), watch::channel(Arc::default()).1);
    let about =
        about(CurrentCatalogue::fixed(Catalogue::new(std::iter::empty()).unwrap()), HealthBoard::default());
    (Toolbox::new(Parts { dispatcher, metrics, supervisors: Default::default(), store, about }), deaf)
}

/// Real actors on this thread over a database in a folder of its own.
pub(super) struct Inside {
    pub(super) toolbox: Toolbox,
    writer: Addr<StorageWriter>,
    _folder: TempDir,
}

impl Inside {
    pub(super) fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = Url::sqlite(folder.path().join("exai.db"));
        storage::migrate(&url).map_err(io::Error::other)?;
        let arbiter = Arbiter::current();
        let board = HealthBoard::default();
        let durability = Durability::Process;
        let store = Store::open(&url, 1, board.clone()).map_err(io::Error::other)?;
        let facts = watch::channel(Default::default()).0;
        let limits = Default::default();
        let board_of_writer = board.clone();
        let wiring =
            Wiring { arbiter: &arbiter, url, durability, board: board_of_writer, facts, limits, spool: None };
        let writer = storage_writer::start(wiring, |_| {});
        let catalogue =
            CurrentCatalogue::fixed(Catalogue::new(std::iter::empty()).map_err(io::Error::other)?);
        let setup = Setup {
            catalogue: catalogue.clone(),
            default_model: "none".to_owned(),
            limits: Limits {
                global: 1,
                per_session: 1,
                per_conversation: 1,
                per_provider: Default::default(),
            },
            queue_wait: LONG,
            deadline: LONG,
            replica: "test".to_owned(),
            store: store.clone(),
            writer: writer.clone(),
            load: watch::channel(Default::default()).0,
            providers: Default::default(),
        };
        let dispatcher = Dispatcher::start(&arbiter, setup, |_| {});
        let about = about(catalogue, board);
        let metrics = watch::channel(Arc::default()).1;
        let parts = Parts { dispatcher, metrics, supervisors: Default::default(), store, about };
        Ok(Self { toolbox: Toolbox::new(parts), writer, _folder: folder })
    }
}

impl Inside {
    /// Puts an answered call of the tester's into the journal, for `result` to fetch.
    pub(super) async fn answered(&self, text: &str) -> CallId {
        let (id, conversation) = (CallId::mint(), ConversationId::mint());
        let at = clock::utc_now();
        let opened = NewCall {
            id,
            principal: "tester".into(),
            session: SessionId::mint(),
            conversation: None,
            tool: "chat".into(),
            request_hash: id.to_string(),
            idempotency_key: None,
            replica: "test".to_owned(),
            lease_until: at,
            retry_unknown: false,
            on_its_way: Vec::new(),
            accepted_at: at,
        };
        let receipt = json!({
            "call_id": id, "conversation_id": conversation, "tool": "chat", "model_asked": "m", "model_served": "m",
            "provider": "kimi", "host": "host", "key_fingerprint": "00000000", "attempts": 1, "breaker": "closed",
            "queue_ms": 0, "first_token_ms": 1, "total_ms": 2, "tokens": null, "turns": { "used": 0, "sent": 0 },
            "cost_usd": null, "cached": false, "truncated": false, "fallback": null,
        });
        let ended = EndedCall {
            id,
            state: CallState::Completed,
            result: Some(text.into()),
            receipt: Some(receipt.to_string()),
            error: None,
            attempt: None,
            exchange: None,
            frees_key: false,
            may_be_missing: false,
            ended_at: at,
        };
        for record in [Record::CallOpened(opened, None), Record::CallEnded(Box::new(ended))] {
            storage_writer::write(&self.writer, record).await.unwrap();
        }
        id
    }
}

fn about(catalogue: CurrentCatalogue, board: HealthBoard) -> About {
    About {
        version: env!("CARGO_PKG_VERSION"),
        started: clock::now(),
        catalogue,
        default_model: "none".to_owned(),
        left_out: Default::default(),
        board,
    }
}
