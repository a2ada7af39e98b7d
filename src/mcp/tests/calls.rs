//! A call that runs for a while: what its client hears, and when. In virtual time, with a call that the test moves by hand.

use exai_actors::clock;
use exai_actors::dispatcher::messages::{Answer, Attached, Caller, Phase, Progress};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::{CallId, SessionId};
use futures_util::{sink, stream};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientJsonRpcMessage, ErrorData, ServerJsonRpcMessage,
};
use rmcp::service::{RequestContext, RoleServer, RunningService};
use rmcp::{ServerHandler, serve_server};
use tokio::sync::{mpsc, watch};

use super::super::handler::Handler;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A handler whose every call is the one that the test holds.
struct Planted {
    handler: Handler,
    attached: Attached,
}

impl ServerHandler for Planted {
    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Handler { principal, session, .. } = self.handler.clone();
        let caller = Caller::new(principal, session);
        Ok(self.handler.follow(self.attached.clone(), &(&context).into(), Some(&caller)).await.into())
    }
}

/// The test's ends of a call and of its client.
struct Call {
    progress: watch::Sender<Progress>,
    answer: watch::Sender<Option<Arc<Answer>>>,
    to_server: mpsc::Sender<ClientJsonRpcMessage>,
    to_client: mpsc::Receiver<Value>,
    id: CallId,
    _service: RunningService<RoleServer, Planted>,
}

impl Call {
    /// A call that was just asked for, with this progress token.
    async fn start(token: Value) -> Self {
        let since = clock::now();
        let (progress, progress_end) = watch::channel(Progress { phase: Phase::Received, since, tokens: 0 });
        let (answer, answer_end) = watch::channel(None);
        let id = CallId::mint();
        let handler = Handler {
            toolbox: inside::nobody(),
            principal: Principal::from("tester"),
            session: SessionId::mint(),
            gone: CancellationToken::new(),
            leaving: CancellationToken::new(),
        };
        let attached = Attached {
            call: id,
            started: true,
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
        let say = |message: Value| serde_json::from_value::<ClientJsonRpcMessage>(message).unwrap();
        to_server.send(say(initialize("2025-11-25"))).await.unwrap();
        let service = serve_server(Planted { handler, attached }, (outgoing, incoming)).await.unwrap();
        let mut call = Self { progress, answer, to_server, to_client, id, _service: service };
        assert_eq!(call.hears().await["id"], 0);
        let meta = if token.is_null() { json!({}) } else { json!({ "progressToken": token }) };
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "chat", "_meta": meta } });
        call.to_server.send(say(request)).await.unwrap();
        call
    }

    async fn hears(&mut self) -> Value {
        self.to_client.recv().await.unwrap()
    }

    async fn hears_progress(&mut self) -> (f64, String) {
        let heard = self.hears().await;
        assert_eq!(heard["method"], "notifications/progress", "{heard}");
        assert_eq!(heard["params"]["progressToken"], "t");
        let message = heard["params"]["message"].as_str().unwrap().to_owned();
        (heard["params"]["progress"].as_f64().unwrap(), message)
    }

    async fn hears_nothing_for(&mut self, time: Duration) {
        let heard = tokio::time::timeout(time, self.to_client.recv()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    fn is_at(&self, phase: Phase, tokens: u32) {
        self.progress.send_modify(|progress| (progress.phase, progress.tokens) = (phase, tokens));
    }

    fn ends_with(&self, kind: ErrorKind) {
        self.answer.send_replace(Some(Arc::new(Err(CallError::new(kind, "Try later.").of_call(self.id)))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_hears_at_once_then_by_phase_then_every_ten_seconds() {
    let mut call = Call::start(json!("t")).await;
    let started_at = clock::now();
    assert_eq!(call.hears_progress().await, (1.0, "received, 0 s".to_owned()));
    assert_eq!(clock::now(), started_at, "the first one comes at once");
    // A change of phase is told, but not within the same second.
    call.is_at(Phase::Dispatched, 0);
    assert_eq!(call.hears_progress().await, (2.0, "waiting for the model, 1 s".to_owned()));
    // Tokens alone are no reason to speak, silence is.
    for tokens in 1..=9 {
        call.is_at(Phase::Dispatched, tokens);
        call.hears_nothing_for(SECOND).await;
    }
    assert_eq!(call.hears_progress().await, (3.0, "waiting for the model, 11 s, 9 tokens".to_owned()));
    for number in 4..30 {
        let before = clock::now();
        assert_eq!(call.hears_progress().await.0, f64::from(number));
        assert!(clock::now() - before <= SECOND * 10 + SECOND / 10);
    }
    call.ends_with(ErrorKind::BreakerOpen);
    let answer = call.hears().await;
    assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(1), &json!(true)));
    let error = json!({ "kind": "breaker_open", "call_id": call.id });
    assert_eq!(answer["result"]["_meta"]["exai/error"], error);
    call.hears_nothing_for(SECOND * 60).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_but_the_answer_is_heard() {
    let mut call = Call::start(json!(null)).await;
    call.is_at(Phase::Thinking, 7);
    call.hears_nothing_for(SECOND * 60).await;
    call.ends_with(ErrorKind::UpstreamError);
    assert_eq!(call.hears().await["id"], 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_cancel_nothing_is_heard() {
    let mut call = Call::start(json!("t")).await;
    call.hears_progress().await;
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    call.to_server.send(serde_json::from_value(cancel).unwrap()).await.unwrap();
    call.hears_nothing_for(SECOND).await;
    call.is_at(Phase::Answering, 1);
    call.ends_with(ErrorKind::Cancelled);
    call.hears_nothing_for(SECOND * 60).await;
    assert_eq!(call.progress.receiver_count(), 1, "only the test's own hold on the call is left");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_consultation_vanished_is_answered_internal() {
    let Call { progress, answer, mut to_client, to_server: _open, _service, .. } =
        Call::start(json!(null)).await;
    tokio::time::sleep(SECOND).await;
    drop((progress, answer));
    let answer = to_client.recv().await.unwrap();
    assert_eq!(answer["result"]["_meta"]["exai/error"]["kind"], "internal");
}
