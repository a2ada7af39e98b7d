//! The engine's end of one HTTP session, or of one modern request: every message passes the [`Edge`], and every answer finds the
//! stream of the request that it answers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use exai_actors::clock;
use exai_actors::ids::CallId;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, GetExtensions, GetMeta, JsonRpcMessage, ProgressToken,
    RequestId, ServerJsonRpcMessage, ServerNotification,
};
use rmcp::service::{OriginatingRequestId, RoleServer};
use rmcp::transport::Transport;
use tokio::sync::{mpsc, watch};

use super::arrival::Arrival;
use super::stream::Log;
use crate::mcp::delivery::Outcome;
use crate::mcp::edge::{Edge, Facts, Limits, Passage, Verdict};
use crate::mcp::envelope::Reading;
use crate::mcp::monitor::Monitor;

/// A message on its way to the engine, and where its answer goes.
pub(super) struct Incoming {
    /// What was posted.
    pub(super) reading: Reading,
    /// The stream of its answer; ended at once where there is none.
    pub(super) log: Log,
}

/// Whom the transport tells.
pub(super) struct Tells {
    /// A client has a call's answer.
    pub(super) on_delivered: Arc<dyn Fn(CallId) + Send + Sync>,
    /// Tells what goes out.
    pub(super) monitor: Monitor,
    /// Who is on the other side; once.
    pub(super) on_open: Box<dyn Fn(Facts) + Send>,
    /// Requests without an answer.
    pub(super) in_flight: watch::Sender<usize>,
}

/// The engine's end.
pub(super) struct HttpTransport {
    inbound: mpsc::Receiver<Incoming>,
    edge: Edge,
    routes: HashMap<RequestId, Route>,
    /// Where messages go that belong to no request.
    general: Log,
    tells: Tells,
}

struct Route {
    log: Log,
    token: Option<ProgressToken>,
}

impl HttpTransport {
    pub(super) fn new(inbound: mpsc::Receiver<Incoming>, limits: Limits, general: Log, tells: Tells) -> Self {
        Self { inbound, edge: Edge::new(limits, clock::now()), routes: HashMap::new(), general, tells }
    }

    /// Decides about a message; gives it if the engine is to have it.
    fn admit(&mut self, incoming: Incoming) -> Option<ClientJsonRpcMessage> {
        let Incoming { mut reading, log } = incoming;
        let mut asked = None;
        if let Reading::Message(message) = &mut reading {
            match &mut **message {
                JsonRpcMessage::Request(request) => {
                    // The handler of a call lets go of it while nobody reads.
                    request.request.extensions_mut().insert(log.readers());
                    // A fixture closes the stream of its own call.
                    #[cfg(feature = "conformance")]
                    request.request.extensions_mut().insert(log.clone());
                    asked = Some((request.id.clone(), request.request.get_meta().get_progress_token()));
                }
                JsonRpcMessage::Notification(notification) => {
                    if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                        && let Some(id) = &cancelled.params.request_id
                    {
                        self.close(id);
                    }
                }
                JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
            }
        }
        match self.edge.admit(reading, clock::now()) {
            Verdict::Forward(message) => {
                match asked {
                    Some((id, token)) => drop(self.routes.insert(id, Route { log, token })),
                    None => log.end(),
                }
                self.count();
                Some(*message)
            }
            Verdict::Answer(text) => {
                self.tells.monitor.message_out(text.len());
                self.tells.monitor.error();
                log.finish(&text, None, None);
                None
            }
            Verdict::Drop => {
                log.end();
                None
            }
        }
    }

    fn close(&mut self, id: &RequestId) {
        if let Some(route) = self.routes.remove(id) {
            route.log.end();
            self.count();
        }
    }

    fn count(&self) {
        self.tells.in_flight.send_replace(self.routes.len());
    }

    fn arrival(&self, Outcome { call, seat }: Outcome) -> Arrival {
        let on_delivered = Arc::clone(&self.tells.on_delivered);
        Arrival { delivered: Box::new(move || on_delivered(call)), seat }
    }

    /// The stream of the request that a message belongs to.
    fn log_of(&self, message: &ServerJsonRpcMessage) -> &Log {
        let route = match message {
            JsonRpcMessage::Notification(notification) => {
                let notification = &notification.notification;
                if let ServerNotification::ProgressNotification(progress) = notification {
                    let token = Some(&progress.params.progress_token);
                    self.routes.values().find(|route| route.token.as_ref() == token)
                } else {
                    notification.get_meta().subscription_id().and_then(|id| self.routes.get(&id))
                }
            }
            JsonRpcMessage::Request(question) => {
                let asker = question.request.extensions().get::<OriginatingRequestId>();
                asker.and_then(|OriginatingRequestId(id)| self.routes.get(id))
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => None,
        };
        // One without an address goes where somebody reads.
        let anybody = || self.routes.values().next().filter(|_| self.general.is_idle());
        route.or_else(anybody).map_or(&self.general, |route| &route.log)
    }
}

impl Drop for HttpTransport {
    fn drop(&mut self) {
        for route in self.routes.values() {
            route.log.end();
        }
        self.general.end();
    }
}

impl Transport<RoleServer> for HttpTransport {
    type Error = Infallible;

    fn send(
        &mut self,
        mut item: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        let passage = self.edge.let_out(&mut item);
        if let Some(facts) = self.edge.take_facts() {
            (self.tells.on_open)(facts);
        }
        if let Passage::Out(outcome) = passage {
            // Nothing in a message can fail to serialize: its maps have text keys.
            let text = serde_json::to_string(&item).unwrap_or_default();
            self.tells.monitor.message_out(text.len());
            let (id, code) = match &item {
                JsonRpcMessage::Response(response) => (Some(&response.id), None),
                JsonRpcMessage::Error(error) => (error.id.as_ref(), Some(error.error.code)),
                JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => (None, None),
            };
            match id.and_then(|id| self.routes.remove(id)) {
                Some(route) => {
                    route.log.finish(&text, code, outcome.map(|outcome| self.arrival(outcome)));
                    self.count();
                }
                None if id.is_none() => self.log_of(&item).push(&text),
                None => {}
            }
        }
        std::future::ready(Ok(()))
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let incoming = self.inbound.recv().await?;
            if let Some(message) = self.admit(incoming) {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
