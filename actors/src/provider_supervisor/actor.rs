//! The actor: one per provider. The connection it started outlives it, and so do the calls on it.

use std::sync::Arc;

use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, Supervised};
use tokio_util::task::TaskTracker;

use super::messages::{BreakerState, FirstFree, GetStanding, Standing, TakeTicket, Ticket};
use super::standing::{self, Leave};
use crate::clock;
use crate::error::{CallError, ErrorKind};
use crate::faults::{self, Point};
use crate::health::{HealthBoard, Status};
use crate::ids::{ModelId, ProviderName};
use crate::mail;
use crate::provider::dialect::Dialect;
use crate::provider::endpoint::{Endpoint, EndpointError, Key};
use crate::provider::{self, Provider, ProviderStart, Timeouts};
use crate::supervised::{self, Death, Intensity, Start};

/// How many messages may wait: a ticket is asked for once per upstream call.
const MAILBOX: usize = 1024;

/// What the configuration says of one provider.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its name.
    pub name: ProviderName,
    /// What it speaks.
    pub dialect: Dialect,
    /// `https` only, except for loopback.
    pub base_url: String,
    /// Its key.
    pub key: Key,
    /// Model ids beyond those that the catalogue knows of it; for [`crate::models::Catalogue`].
    pub models: Vec<String>,
    /// How long it may be silent.
    pub timeouts: Timeouts,
}

impl ProviderConfig {
    /// A provider with its dialect's own timeouts and no models beyond the catalogue's.
    pub fn new(name: ProviderName, dialect: Dialect, base_url: impl Into<String>, key: Key) -> Self {
        let timeouts = Timeouts::of(dialect);
        Self { name, dialect, base_url: base_url.into(), key, models: Vec::new(), timeouts }
    }
}

/// Starts the supervisor of one provider on `arbiter`, and with it the provider on the same one. `on_death` is told of the deaths
/// of both, by actor name.
pub fn start<F>(
    arbiter: &ArbiterHandle,
    config: &ProviderConfig,
    board: HealthBoard,
    on_death: F,
) -> Result<Addr<ProviderSupervisor>, EndpointError>
where
    F: Fn(&'static str, Death) + Clone + Send + Sync + 'static,
{
    let endpoint = Arc::new(Endpoint::new(config.name.clone(), &config.base_url, &config.key)?);
    let born = ProviderStart {
        endpoint,
        dialect: config.dialect,
        timeouts: config.timeouts,
        tasks: TaskTracker::new(),
    };
    let how =
        Start { name: "provider_supervisor", arbiter, mailbox: MAILBOX, intensity: Intensity::default() };
    let arbiter = arbiter.clone();
    let told = on_death.clone();
    Ok(supervised::start(
        how,
        move |death| on_death("provider_supervisor", death),
        move |context| {
            let on_provider_death: OnDeath = Arc::new(move |death| told("provider", death));
            let myself = context.address();
            let provider = connect(&arbiter, &born, &myself, &on_provider_death);
            let standing = standing::Standing::new(clock::now());
            let supervisor =
                ProviderSupervisor { arbiter, born, board, on_provider_death, provider, standing };
            supervisor.say(Status::Ok, String::new());
            supervisor
        },
    ))
}

type OnDeath = Arc<dyn Fn(Death) + Send + Sync>;

/// The supervisor of one provider.
pub struct ProviderSupervisor {
    arbiter: ArbiterHandle,
    born: ProviderStart,
    board: HealthBoard,
    on_provider_death: OnDeath,
    provider: Addr<Provider>,
    standing: standing::Standing,
}

/// The provider's connection died.
#[derive(Message)]
#[rtype(result = "()")]
struct ProviderDied(Death);

/// Starts the connection. Its deaths are told to the supervisor by mail; should the mailbox be full, the next ticket finds out.
fn connect(
    arbiter: &ArbiterHandle,
    born: &ProviderStart,
    supervisor: &Addr<ProviderSupervisor>,
    on_death: &OnDeath,
) -> Addr<Provider> {
    let supervisor = supervisor.clone();
    let on_death = Arc::clone(on_death);
    provider::start(arbiter, born.clone(), move |death| {
        on_death(death);
        if let Err(error) = mail::tell(&supervisor, ProviderDied(death)) {
            log::warn!(error:% = error; "a provider's death did not reach its supervisor");
        }
    })
}

impl ProviderSupervisor {
    fn name(&self) -> &ProviderName {
        self.born.endpoint.provider()
    }

    fn say(&self, status: Status, detail: String) {
        self.board.set(&format!("provider:{}", self.name()), status, detail, clock::utc_now());
    }

    fn gave_up(&mut self) {
        let pause = self.standing.gave_up(clock::now());
        let detail = format!("its connection died too often; a call in {} s starts it anew", pause.as_secs());
        self.say(Status::Down, detail);
    }

    fn start_anew(&mut self, myself: &Addr<Self>) {
        self.provider = connect(&self.arbiter, &self.born, myself, &self.on_provider_death);
        self.standing.started_anew(clock::now());
        self.say(Status::Ok, "its connection was started anew".to_owned());
    }
}

impl Actor for ProviderSupervisor {
    type Context = Context<Self>;
}

impl Supervised for ProviderSupervisor {
    /// Every field is either never changed or changed as a whole by the pure core, so the next life is the old record with the old
    /// connection: the calls on it go on.
    fn restarting(&mut self, _: &mut Context<Self>) {}
}

impl Handler<TakeTicket> for ProviderSupervisor {
    type Result = Result<Ticket, CallError>;

    fn handle(&mut self, ask: TakeTicket, context: &mut Context<Self>) -> Self::Result {
        faults::point(Point::ProviderSupervisor);
        if !self.provider.connected() && self.standing.leave(clock::now()) == Leave::Granted {
            self.gave_up();
        }
        match self.standing.leave(clock::now()) {
            Leave::Granted => {}
            Leave::AfterStart => self.start_anew(&context.address()),
            Leave::Refused(wait) => {
                let message = format!(
                    "{} is being left alone after failures: ask again in {} s, or ask another provider's model",
                    self.name(),
                    wait.as_secs() + 1
                );
                let refusal = CallError::new(ErrorKind::BreakerOpen, message).retry_after(wait);
                return Err(refusal.with("provider", self.name().as_str()).with("model", ask.model.as_str()));
            }
        }
        Ok(Ticket { provider: self.provider.clone(), breaker: BreakerState::Closed })
    }
}

impl Handler<GetStanding> for ProviderSupervisor {
    type Result = actix::MessageResult<GetStanding>;

    fn handle(&mut self, _: GetStanding, _: &mut Context<Self>) -> Self::Result {
        let breaker = match self.standing.leave(clock::now()) {
            Leave::Granted => BreakerState::Closed,
            Leave::AfterStart => BreakerState::HalfOpen,
            Leave::Refused(_) => BreakerState::Open,
        };
        actix::MessageResult(Standing {
            host: self.born.endpoint.host().to_owned(),
            key_fingerprint: self.born.endpoint.key_fingerprint().to_owned(),
            breaker,
            restarts: self.standing.restarts(),
            in_flight: self.born.tasks.len(),
        })
    }
}

impl Handler<FirstFree> for ProviderSupervisor {
    type Result = Option<ModelId>;

    fn handle(&mut self, ask: FirstFree, _: &mut Context<Self>) -> Self::Result {
        match self.standing.leave(clock::now()) {
            Leave::Granted | Leave::AfterStart => ask.models.into_iter().next(),
            Leave::Refused(_) => None,
        }
    }
}

impl Handler<ProviderDied> for ProviderSupervisor {
    type Result = ();

    fn handle(&mut self, ProviderDied(death): ProviderDied, _: &mut Context<Self>) {
        match death {
            Death::Restarted => self.standing.restarted(),
            // News of a connection that has been replaced since is no news.
            Death::GaveUp if self.provider.connected() => {}
            Death::GaveUp => self.gave_up(),
        }
    }
}
