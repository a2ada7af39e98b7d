//! A supervisor in paused time, and how to ask it.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{Addr, Arbiter};
use exai_actors::error::CallError;
use exai_actors::health::{ComponentHealth, HealthBoard, Status};
use exai_actors::ids::ModelId;
use exai_actors::mail;
use exai_actors::metrics::messages::{BreakerPosition, Flush};
use exai_actors::metrics::{self, Handles};
use exai_actors::provider::Timeouts;
use exai_actors::provider::dialect::Dialect;
use exai_actors::provider::endpoint::Key;
use exai_actors::provider::messages::FailureClass;
use exai_actors::provider_supervisor::messages::{
    FirstFree, GetStanding, Operate, Order, Settled, Standing, TakeTicket, Ticket,
};
use exai_actors::provider_supervisor::{self, ProviderConfig, ProviderSupervisor, Wiring};

pub(crate) const KEY: &str = "sk-secret";
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(5);

pub(crate) struct Rig {
    supervisor: Addr<ProviderSupervisor>,
    board: HealthBoard,
    metrics: Handles,
}

pub(crate) fn failed(class: FailureClass) -> Settled {
    Settled::Failed { class, retry_after: None }
}

impl Rig {
    /// Pauses the time, and starts a supervisor in it.
    pub(crate) fn start() -> Self {
        tokio::time::pause();
        let arbiter = Arbiter::current();
        let metrics = metrics::start(metrics::Wiring { arbiter: &arbiter, flushing: None }, |_| {});
        let board = HealthBoard::default();
        let timeouts = Timeouts { first_byte: FIRST_BYTE, idle: FIRST_BYTE };
        let key = Key::new(KEY);
        let config = ProviderConfig::new("kimi".into(), Dialect::Kimi, "http://127.0.0.1:9/v1", key);
        let config = ProviderConfig { timeouts, ..config };
        let wiring = Wiring { arbiter: &arbiter, board: board.clone(), metrics: metrics.address.clone() };
        let supervisor = provider_supervisor::start(&config, wiring, |_, _| {}).unwrap();
        Self { supervisor, board, metrics }
    }

    pub(crate) async fn ask(&self, model: &str) -> Result<Ticket, CallError> {
        self.attempt(model, 1).await
    }

    pub(crate) async fn attempt(&self, model: &str, attempt: u32) -> Result<Ticket, CallError> {
        mail::ask(&self.supervisor, TakeTicket { model: model.into(), attempt }, SOON).await.unwrap()
    }

    /// Opens the model's breaker by five timeouts in a row, and says for how long.
    pub(crate) async fn open(&self, model: &str) -> Duration {
        for _ in 0..5 {
            self.ask(model).await.unwrap().settle(failed(FailureClass::Timeout));
        }
        Duration::from_millis(self.ask(model).await.unwrap_err().retry_after_ms.unwrap())
    }

    pub(crate) async fn standing(&self) -> Standing {
        mail::ask(&self.supervisor, GetStanding, SOON).await.unwrap()
    }

    pub(crate) async fn position(&self, model: &str) -> BreakerPosition {
        self.standing().await.models[&model.into()].state
    }

    pub(crate) async fn free(&self, models: &[&str]) -> Option<ModelId> {
        let models = models.iter().map(|model| ModelId::from(*model)).collect();
        mail::ask(&self.supervisor, FirstFree { models }, SOON).await.unwrap()
    }

    pub(crate) async fn operate(&self, model: Option<&str>, order: Order) {
        let ask = Operate { model: model.map(ModelId::from), order };
        mail::ask(&self.supervisor, ask, SOON).await.unwrap();
    }

    pub(crate) fn health(&self) -> ComponentHealth {
        self.board.get("provider:kimi").unwrap()
    }

    pub(crate) fn status(&self) -> Status {
        self.health().status
    }

    /// How often each breaker moved where.
    pub(crate) async fn moves(&self) -> BTreeMap<String, u64> {
        mail::ask(&self.metrics.address, Flush, SOON).await.unwrap();
        self.metrics.published.borrow().sums().breaker_transitions
    }
}
