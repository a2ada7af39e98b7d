//! Calls a tool: checks its arguments, and answers it or has a model asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::about::{self, About};
use super::breakers::{self, Standings};
use super::{Definition, Started, chat, result};
use crate::dispatcher::Dispatcher;
use crate::dispatcher::messages::{Attach, Caller, Cancel, Consult, Follower, GetLoad, GetPartial};
use crate::dispatcher::{not_read, stored_answer};
use crate::error::{CallError, ErrorKind};
use crate::ids::{CallId, ProviderName};
use crate::mail::{self, MailError};
use crate::metrics::Snapshot;
use crate::provider_supervisor::ProviderSupervisor;
use crate::storage::Store;

/// How long an actor may take to answer; it decides, and never waits for a model.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// Prompts beyond this are prepared off the thread that got them.
const LONG_PROMPT_BYTES: usize = 256 * 1024;
/// What a client is told to wait while a part of the server is overloaded.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a toolbox works with.
pub struct Parts {
    /// Who has models asked.
    pub dispatcher: Addr<Dispatcher>,
    /// The sums.
    pub metrics: watch::Receiver<Arc<Snapshot>>,
    /// Who knows how each provider stands.
    pub supervisors: BTreeMap<ProviderName, Addr<ProviderSupervisor>>,
    /// Reads of the journal.
    pub store: Store,
    /// What the server tells of itself.
    pub about: About,
}

/// Everything that answers tool calls; clones share it.
#[derive(Clone)]
pub struct Toolbox {
    pub(super) parts: Arc<Parts>,
    definitions: Arc<[Definition]>,
}

impl Toolbox {
    /// A toolbox over these parts.
    pub fn new(parts: Parts) -> Self {
        let about = about::definitions();
        let definitions = [chat::definition(), result::definition()].into_iter().chain(about).collect();
        Self { parts: Arc::new(parts), definitions }
    }

    /// All tools, in the order in which they are listed.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// Checks the arguments and starts the tool.
    pub async fn start(
        &self,
        caller: Caller,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<Started, CallError> {
        match tool {
            chat::NAME => {
                let consult = consult(caller, arguments).await?;
                let attached =
                    mail::ask(&self.parts.dispatcher, consult, ASK_WITHIN).await.map_err(undelivered)??;
                Ok(if attached.started { Started::Running(attached) } else { Started::Watching(attached) })
            }
            result::NAME => self.result(&caller, result::parse(arguments)?.0).await,
            about::LIST_MODELS => {
                let filter = about::parse_filter(arguments)?;
                Ok(Started::Answered(Box::new(self.parts.about.list_models(&filter))))
            }
            about::STATUS => {
                about::parse_none(about::STATUS, arguments)?;
                self.status().await
            }
            about::VERSION => {
                about::parse_none(about::VERSION, arguments)?;
                Ok(Started::Answered(Box::new(self.parts.about.version())))
            }
            _ => {
                let names: Vec<&str> = self.definitions.iter().map(|tool| tool.name).collect();
                let message = format!("There is no such tool. There are: {}.", names.join(", "));
                Err(CallError::new(ErrorKind::UnknownTool, message))
            }
        }
    }

    /// Cancels a running call of the caller's, if nobody else follows it; its upstream connection closes.
    pub fn cancel(&self, caller: &Caller, call: CallId, follower: Follower) {
        let cancel = Cancel { principal: caller.principal.clone(), call, follower: Some(follower) };
        if mail::tell(&self.parts.dispatcher, cancel).is_err() {
            log::warn!(call:%, session:% = caller.session; "a cancel was not delivered");
        }
    }

    /// The text that a running call of the caller's has so far; none where there is none, or no telling.
    pub async fn partial(&self, caller: &Caller, call: CallId) -> Option<String> {
        let wanted = GetPartial { principal: caller.principal.clone(), call };
        mail::ask(&self.parts.dispatcher, wanted, ASK_WITHIN).await.ok().flatten()
    }

    /// How every provider stands, for programs. One that does not say so in time is `null`.
    pub async fn breakers(&self) -> Value {
        breakers::facts(&self.standings().await)
    }

    async fn standings(&self) -> Standings {
        breakers::ask(&self.parts.supervisors).await
    }

    async fn result(&self, caller: &Caller, call: CallId) -> Result<Started, CallError> {
        let attach = Attach { principal: caller.principal.clone(), call };
        let running = mail::ask(&self.parts.dispatcher, attach, ASK_WITHIN).await.map_err(undelivered)?;
        if let Some(attached) = running {
            return Ok(Started::Watching(attached));
        }
        let stored = self.parts.store.load_call(&caller.principal, call).await;
        let stored = stored.map_err(|error| not_read(call, &error))?;
        let stored = stored.ok_or_else(|| {
            CallError::new(ErrorKind::NotFound, "There is no such call, or its answer is no longer kept.")
        })?;
        let partial = stored.result.clone();
        match (stored_answer(stored), partial) {
            (Ok(finished), _) => Ok(Started::Answered(Box::new(finished.into()))),
            (Err(error), Some(partial)) => Ok(Started::Broken { error, partial }),
            (Err(error), None) => Err(error),
        }
    }

    async fn status(&self) -> Result<Started, CallError> {
        let load = mail::ask(&self.parts.dispatcher, GetLoad, ASK_WITHIN);
        let (load, standings) = futures_util::join!(load, self.standings());
        let load = load.map_err(undelivered)?;
        let sums = self.parts.metrics.borrow().sums();
        let answer = self.parts.about.status(&load, &sums, &standings);
        Ok(Started::Answered(Box::new(answer)))
    }
}

/// Measuring and hashing a long prompt takes milliseconds: not on a thread that serves sockets.
async fn consult(caller: Caller, arguments: Map<String, Value>) -> Result<Consult, CallError> {
    let long = arguments.values().filter_map(Value::as_str).any(|text| text.len() > LONG_PROMPT_BYTES);
    let prepare = move || chat::parse(arguments).map(|question| Consult::new(caller, question));
    if !long {
        return prepare();
    }
    tokio::task::spawn_blocking(prepare).await.unwrap_or_else(|_| Err(undelivered(MailError::Closed)))
}

pub(super) fn undelivered(why: MailError) -> CallError {
    match why {
        MailError::Closed => CallError::new(
            ErrorKind::Internal,
            "A part of the server failed on this request and was restarted. Ask again.",
        ),
        MailError::Full | MailError::TimedOut => {
            let message = "The server has more to do than it can take in. Ask again in a moment.";
            CallError::new(ErrorKind::OverCapacity, message).retry_after(BUSY_RETRY_AFTER)
        }
    }
}
