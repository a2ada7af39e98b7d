//! The actor: one per provider. The connection it started outlives it, and so do the calls on it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, Supervised};
use tokio_util::task::TaskTracker;

use super::circuit::Circuit;
use super::config::ProviderConfig;
use super::messages::{FirstFree, GetStanding, MayGo, Operate, Order, Rekey, TakeTicket, Ticket};
use super::moves;
use super::ticket::{Answering, Returned};
use crate::clock::{self, Moment};
use crate::error::CallError;
use crate::faults::{self, Point};
use crate::health::HealthBoard;
use crate::ids::{ModelId, ProviderName};
use crate::mail;
use crate::metrics::Metrics;
use crate::metrics::messages::BreakerMoved;
use crate::provider::endpoint::{Endpoint, EndpointError};
use crate::provider::{self, Provider, ProviderStart};
use crate::supervised::{self, Death, Intensity, Knock, Start};

/// How many messages may wait: three for each upstream call, and far more than the calls that can run, for a ticket that does not
/// come back keeps its place until the probe's time is over.
const MAILBOX: usize = 16 * 1024;
/// How often the passing of time is looked at while a breaker is not closed.
const TICK: Duration = Duration::from_secs(1);
/// What a probe may take to be sent and to begin its answer beyond the provider's own time for the first byte.
const PROBE_MARGIN: Duration = Duration::from_secs(30);

/// What a supervisor is given beside its configuration.
#[derive(Clone)]
pub struct Wiring<'a> {
    /// The thread that it and its provider live on.
    pub arbiter: &'a ArbiterHandle,
    /// Where it says how the provider is.
    pub board: HealthBoard,
    /// Who counts how often its breakers move.
    pub metrics: Addr<Metrics>,
}

/// Starts the supervisor of one provider, and with it the provider. `on_death` is told of the deaths of both, by actor name.
pub fn start<F>(
    config: &ProviderConfig,
    wiring: Wiring<'_>,
    on_death: F,
) -> Result<Addr<ProviderSupervisor>, EndpointError>
where
    F: Fn(&'static str, Death) + Clone + Send + Sync + 'static,
{
    let Wiring { arbiter, board, metrics } = wiring;
    let endpoint = Arc::new(Endpoint::new(config.name.clone(), &config.base_url, &config.key)?);
    let born = ProviderStart {
        endpoint,
        dialect: config.dialect,
        timeouts: config.timeouts,
        tasks: TaskTracker::new(),
        listings: config.listings.clone(),
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
            let provider = connect(&arbiter, &born, &context.address(), &on_provider_death);
            let circuit = Circuit::new(born.timeouts.first_byte + PROBE_MARGIN, clock::now());
            let mut supervisor =
                ProviderSupervisor { arbiter, born, board, metrics, on_provider_death, provider, circuit };
            supervisor.say();
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
    metrics: Addr<Metrics>,
    on_provider_death: OnDeath,
    provider: Addr<Provider>,
    circuit: Circuit,
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

    /// Tells the health board how the provider is.
    fn say(&mut self) {
        let Moment { now, utc } = Moment::read();
        let (status, detail) = self.circuit.health(now);
        self.board.set(&format!("provider:{}", self.name()), status, detail, utc);
    }

    /// Tells the log, the metrics and the board what has moved, if anything has.
    fn publish(&mut self) {
        let news = self.circuit.news(clock::now());
        if news.is_empty() {
            return;
        }
        for moved in news {
            moves::tell(self.name(), &moved);
            let fact = BreakerMoved { provider: self.name().clone(), model: moved.model, to: moved.to };
            if let Err(error) = mail::tell(&self.metrics, fact) {
                log::warn!(error:% = error; "a breaker's move was not counted");
            }
        }
        self.say();
    }

    /// Time moves breakers too, and a board that is not told goes on naming a moment that is past.
    fn tick(&mut self) {
        if !self.circuit.is_at_rest() {
            self.publish();
            self.say();
        }
    }

    fn start_anew(&mut self, myself: &Addr<Self>) {
        self.provider = connect(&self.arbiter, &self.born, myself, &self.on_provider_death);
        self.circuit.connection().started_anew(clock::now());
    }
}

impl Actor for ProviderSupervisor {
    type Context = Context<Self>;

    /// Each life begins here, and none keeps the timers of the one before.
    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(TICK, |supervisor, _| supervisor.tick());
    }
}

impl Supervised for ProviderSupervisor {
    /// Every field is either never changed or changed as a whole by the pure core, so the next life is the old record with the old
    /// connection: the calls on it go on.
    fn restarting(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Knock> for ProviderSupervisor {
    type Result = ();

    fn handle(&mut self, _: Knock, _: &mut Context<Self>) {}
}

impl Handler<TakeTicket> for ProviderSupervisor {
    type Result = Result<Ticket, CallError>;

    fn handle(&mut self, ask: TakeTicket, context: &mut Context<Self>) -> Self::Result {
        faults::point(Point::ProviderSupervisor);
        let at = Moment::read();
        if !self.provider.connected() {
            self.circuit.connection().gave_up(at.now);
        }
        let asked = self.circuit.ask(&ask.model, ask.attempt, at.now);
        if asked.as_ref().is_ok_and(|granted| granted.start_anew) {
            self.start_anew(&context.address());
        }
        ask.trail.within(|| self.publish());
        match asked {
            Ok(granted) => {
                let myself = context.address();
                Ok(Ticket::new(self.provider.clone(), granted.state, myself, granted.passes))
            }
            Err(refusal) => Err(refusal.to_error(self.name(), &ask.model, at)),
        }
    }
}

impl Handler<MayGo> for ProviderSupervisor {
    type Result = Result<(), CallError>;

    fn handle(&mut self, ask: MayGo, _: &mut Context<Self>) -> Self::Result {
        let at = Moment::read();
        let may_go = self.circuit.may_go(&ask.model, at.now);
        may_go.map_err(|refusal| refusal.to_error(self.name(), &ask.model, at))
    }
}

impl Handler<Answering> for ProviderSupervisor {
    type Result = ();

    fn handle(&mut self, Answering(passes): Answering, _: &mut Context<Self>) {
        self.circuit.answering(&passes, clock::now());
    }
}

impl Handler<Returned> for ProviderSupervisor {
    type Result = ();

    fn handle(&mut self, Returned { passes, settled, trail }: Returned, _: &mut Context<Self>) {
        self.circuit.settle(&passes, settled, fastrand::f64(), clock::now());
        trail.within(|| self.publish());
    }
}

impl Handler<FirstFree> for ProviderSupervisor {
    type Result = Option<ModelId>;

    fn handle(&mut self, ask: FirstFree, _: &mut Context<Self>) -> Self::Result {
        let now = clock::now();
        ask.models.into_iter().find(|model| self.circuit.is_free(model, now))
    }
}

impl Handler<Operate> for ProviderSupervisor {
    type Result = ();

    fn handle(&mut self, ask: Operate, _: &mut Context<Self>) {
        self.circuit.operate(ask.model.as_ref(), ask.order, clock::now());
        self.publish();
    }
}

impl Handler<Rekey> for ProviderSupervisor {
    type Result = Result<bool, EndpointError>;

    fn handle(&mut self, Rekey { key }: Rekey, context: &mut Context<Self>) -> Self::Result {
        faults::point(Point::Rekey);
        if key.fingerprint() == self.born.endpoint.key_fingerprint() {
            return Ok(false);
        }
        self.born.endpoint = Arc::new(self.born.endpoint.rekeyed(&key)?);
        self.start_anew(&context.address());
        if self.circuit.is_parked(clock::now()) {
            self.circuit.operate(None, Order::Reset, clock::now());
        }
        self.publish();
        self.say();
        Ok(true)
    }
}

impl Handler<GetStanding> for ProviderSupervisor {
    type Result = actix::MessageResult<GetStanding>;

    fn handle(&mut self, _: GetStanding, _: &mut Context<Self>) -> Self::Result {
        let in_flight = self.born.tasks.len();
        actix::MessageResult(self.circuit.standing(&self.born.endpoint, in_flight, Moment::read()))
    }
}

impl Handler<ProviderDied> for ProviderSupervisor {
    type Result = ();

    fn handle(&mut self, ProviderDied(death): ProviderDied, _: &mut Context<Self>) {
        match death {
            Death::Restarted => self.circuit.connection().restarted(),
            // News of a connection that has been replaced since is no news.
            Death::GaveUp if self.provider.connected() => {}
            Death::GaveUp => self.circuit.connection().gave_up(clock::now()),
        }
        self.publish();
    }
}
