//! A provider with its own double, and how to ask it.

use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Arbiter};
use exai_actors::ids::{CallId, ProviderName};
use exai_actors::mail;
use exai_actors::models::Role;
use exai_actors::models::{Model, Thinking};
use exai_actors::provider::dialect::Dialect;
use exai_actors::provider::endpoint::{Endpoint, Key};
use exai_actors::provider::messages::{
    ChatMessage, Completion, Prompt, StartUpstreamCall, UpstreamFailure, UpstreamProgress,
};
use exai_actors::provider::{self, Provider, ProviderStart, Timeouts};
use exai_actors::trail::Trail;
use exai_upstream::{Make, Upstream};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Long enough for anything on loopback.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A provider and its double.
pub(crate) struct Rig {
    pub(crate) upstream: Upstream,
    pub(crate) provider: Addr<Provider>,
    pub(crate) name: ProviderName,
    pub(crate) tasks: TaskTracker,
}

/// A call under way.
pub(crate) struct Running {
    pub(crate) call: CallId,
    pub(crate) cancel: CancellationToken,
    pub(crate) progress: watch::Receiver<UpstreamProgress>,
    pub(crate) outcome: oneshot::Receiver<Result<Completion, UpstreamFailure>>,
}

pub(crate) fn dialect(make: Make) -> Dialect {
    match make {
        Make::Kimi => Dialect::Kimi,
        Make::Glm => Dialect::Glm,
        Make::OpenAi => Dialect::OpenAi,
    }
}

/// A model that the make serves.
pub(crate) fn model_of(make: Make) -> &'static str {
    match make {
        Make::Kimi => "kimi-k2.6",
        Make::Glm => "glm-4.7",
        Make::OpenAi => "double-1",
    }
}

pub(crate) fn rig(make: Make) -> Rig {
    let silence = Duration::from_secs(30);
    rig_with(make, make.to_string(), Timeouts { first_byte: silence, idle: silence })
}

/// A provider named and keyed by `name`.
pub(crate) fn rig_with(make: Make, name: String, timeouts: Timeouts) -> Rig {
    let upstream = Upstream::start(make).unwrap();
    let (provider, tasks) = provider_at(&upstream.base_url(), make, &name, timeouts);
    Rig { upstream, provider, name: name.into(), tasks }
}

/// A provider at any address.
pub(crate) fn provider_at(
    base_url: &str,
    make: Make,
    name: &str,
    timeouts: Timeouts,
) -> (Addr<Provider>, TaskTracker) {
    let endpoint = Endpoint::new(name.into(), base_url, &Key::new(format!("sk-{name}"))).unwrap();
    let tasks = TaskTracker::new();
    let born = ProviderStart {
        endpoint: Arc::new(endpoint),
        dialect: dialect(make),
        timeouts,
        tasks: tasks.clone(),
        listings: None,
    };
    (provider::start(&Arbiter::current(), born, |_| {}), tasks)
}

pub(crate) fn prompt(provider: &ProviderName, model: &str) -> Prompt {
    Prompt {
        model: Arc::new(Model {
            id: model.into(),
            provider: provider.clone(),
            aliases: vec![],
            context_tokens: 100_000,
            output_tokens_max: 4_000,
            thinking: Thinking::Switchable,
            vision: false,
            price: None,
        }),
        messages: vec![ChatMessage { role: Role::User, content: "say something".into() }],
        temperature: None,
        thinking: None,
        output_tokens_max: 4_000,
    }
}

pub(crate) fn begin(provider: &Addr<Provider>, prompt: Prompt) -> Running {
    let (progress, seen) = watch::channel(UpstreamProgress::default());
    let (done, outcome) = oneshot::channel();
    let cancel = CancellationToken::new();
    let call = CallId::mint();
    let ask =
        StartUpstreamCall { call, trail: Trail::default(), prompt, progress, cancel: cancel.clone(), done };
    mail::tell(provider, ask).unwrap();
    Running { call, cancel, progress: seen, outcome }
}

impl Rig {
    /// Begins a call of the make's model with this script.
    pub(crate) fn begin(&self, script: &str) -> Running {
        let plus = if script.is_empty() { "" } else { "+" };
        let model = format!("{}{plus}{script}", model_of(self.upstream.make()));
        begin(&self.provider, prompt(&self.name, &model))
    }

    /// Asks with this script and waits for the outcome.
    pub(crate) async fn ask(&self, script: &str) -> Result<Completion, UpstreamFailure> {
        outcome(self.begin(script)).await
    }
}

pub(crate) async fn outcome(running: Running) -> Result<Completion, UpstreamFailure> {
    tokio::time::timeout(SOON, running.outcome).await.unwrap().unwrap()
}
