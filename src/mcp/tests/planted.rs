//! A call that the test moves by hand, behind a real handler and a real engine. In virtual time.

use exai_actors::clock;
use exai_actors::dispatcher::messages::{Answer, Attached, Phase, Progress};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::{CallId, SessionId};
use exai_actors::tools::{Started, Toolbox};
use futures_util::{sink, stream};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientJsonRpcMessage, ErrorData, ServerJsonRpcMessage,
};
use rmcp::service::{RequestContext, RoleServer, RunningService};
use rmcp::{ServerHandler, serve_server};
use tokio::sync::{mpsc, watch};

use super::super::handler::Handler;
use super::super::monitor::Monitor;
use super::*;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A handler whose every call is the one that the test holds.
pub(super) struct Planted {
    handler: Handler,
    attached: Attached,
}

impl ServerHandler for Planted {
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        // Whoever asks with arguments only looks on, as `result` does.
        let started = match request.arguments {
            None => Started::Running(self.attached.clone()),
            Some(_) => Started::Watching(self.attached.clone()),
        };
        Ok(self.handler.attend(&context, 1, |_| async { Ok(started) }).await.into())
    }
}

/// The test's ends of a call and of its client.
pub(super) struct Call {
    pub(super) progress: watch::Sender<Progress>,
    pub(super) answer: watch::Sender<Option<Arc<Answer>>>,
    pub(super) to_server: mpsc::Sender<ClientJsonRpcMessage>,
    pub(super) to_client: mpsc::Receiver<Value>,
    pub(super) id: CallId,
    pub(super) draining: CancellationToken,
    pub(super) _service: RunningService<RoleServer, Planted>,
}

/// How one test's call is asked.
pub(super) struct Asked {
    /// What the client calls itself.
    pub(super) client: &'static str,
    /// The request's `_meta`.
    pub(super) meta: Value,
    /// What is behind the handler.
    pub(super) toolbox: Toolbox,
    /// Whether it only looks on.
    pub(super) looks_on: bool,
}

impl Asked {
    /// By that client, with this `_meta`.
    pub(super) fn by(client: &'static str, meta: Value) -> Self {
        Self { client, meta, toolbox: inside::nobody(), looks_on: false }
    }
}

fn say(message: Value) -> ClientJsonRpcMessage {
    serde_json::from_value(message).unwrap()
}

impl Call {
    /// A call that was just asked for by a client that nobody knows, with this progress token.
    pub(super) async fn start(token: Value) -> Self {
        let meta = if token.is_null() { json!({}) } else { json!({ "progressToken": token }) };
        Self::asked(Asked::by("a test", meta)).await
    }

    /// A call that was just asked for.
    pub(super) async fn asked(asked: Asked) -> Self {
        let since = clock::now();
        let (progress, progress_end) = watch::channel(Progress { phase: Phase::Received, since, tokens: 0 });
        let (answer, answer_end) = watch::channel(None);
        let (id, draining) = (CallId::mint(), CancellationToken::new());
        let handler = Handler {
            toolbox: asked.toolbox,
            principal: Principal::from("tester"),
            session: SessionId::mint(),
            gone: CancellationToken::new(),
            leaving: CancellationToken::new(),
            draining: Draining { begun: draining.clone(), within: SECOND * 25 },
            monitor: Monitor::default(),
            patience: Patience::new(&[("patient".to_owned(), Duration::ZERO)].into(), SECOND * 900),
        };
        let attached = Attached {
            call: id,
            started: true,
            joined: false,
            progress: progress_end,
            answer: answer_end,
            follower: Default::default(),
        };
        let (to_server, mut from_client) = mpsc::channel(8);
        let (from_server, to_client) = mpsc::channel(8);
        let incoming = stream::poll_fn(move |task| from_client.poll_recv(task));
        let outgoing =
            Box::pin(sink::unfold(from_server, |queue, message: ServerJsonRpcMessage| async move {
                queue.send(serde_json::to_value(&message).unwrap()).await.ok();
                Ok::<_, std::convert::Infallible>(queue)
            }));
        let mut hello = initialize("2025-11-25");
        hello["params"]["clientInfo"]["name"] = json!(asked.client);
        to_server.send(say(hello)).await.unwrap();
        let service = serve_server(Planted { handler, attached }, (outgoing, incoming)).await.unwrap();
        let mut call = Self { progress, answer, to_server, to_client, id, draining, _service: service };
        assert_eq!(call.hears().await["id"], 0);
        let mut params = json!({ "name": "chat", "_meta": asked.meta });
        if asked.looks_on {
            params["arguments"] = json!({});
        }
        call.says(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await;
        call
    }

    pub(super) async fn says(&self, message: Value) {
        self.to_server.send(say(message)).await.unwrap();
    }

    pub(super) async fn hears(&mut self) -> Value {
        self.to_client.recv().await.unwrap()
    }

    pub(super) async fn hears_progress(&mut self) -> (f64, String) {
        let heard = self.hears().await;
        assert_eq!(heard["method"], "notifications/progress", "{heard}");
        assert_eq!(heard["params"]["progressToken"], "t");
        let message = heard["params"]["message"].as_str().unwrap().to_owned();
        (heard["params"]["progress"].as_f64().unwrap(), message)
    }

    pub(super) async fn hears_nothing_for(&mut self, time: Duration) {
        let heard = tokio::time::timeout(time, self.to_client.recv()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    pub(super) fn is_at(&self, phase: Phase, tokens: u32) {
        self.progress.send_modify(|progress| (progress.phase, progress.tokens) = (phase, tokens));
    }

    pub(super) fn ends_with(&self, kind: ErrorKind) {
        self.answer.send_replace(Some(Arc::new(Err(CallError::new(kind, "Try later.").of_call(self.id)))));
    }
}
