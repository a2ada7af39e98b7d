//! The engine sleeps. rmcp's service, its task and its two queues cost more memory than all the rest of a connection, and most
//! connections are idle most of the time. So a connection keeps its [`Line`] and lends it to an engine when a message comes that
//! needs one; an engine with nothing left to do gives it back and ends, and the next one is told how the connection left the
//! handshake. What an engine knows beside that belongs to requests that run, and those keep it awake.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use exai_actors::clock;
use rmcp::model::{
    ClientCapabilities, ClientJsonRpcMessage, ClientRequest, GetMeta, Implementation,
    InitializeRequestParams, ListPromptsRequest, ProtocolVersion, RequestId, ServerJsonRpcMessage,
};
use rmcp::service::{RoleServer, serve_directly_with_ct, serve_server_with_ct};
use rmcp::transport::Transport;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Served;
use super::edge::Greeting;
use super::handler::Handler;
use super::line::Line;

/// The id of [`reminder`]: the edge numbers requests from one, so its answer is for nobody.
const REMINDER: RequestId = RequestId::Number(0);

/// Reads a connection's messages until its end, with an engine whenever one is needed. `engines` tells how many are awake.
pub(super) async fn attend(
    line: Line,
    handler: impl Fn() -> Handler,
    engines: &TaskTracker,
    sleep_after: Duration,
) {
    let mut line = Box::new(line);
    while let Some(message) = line.next().await {
        // Boxed, so that the kilobytes of a handshake are given back and not kept for the connection's life.
        let awake = Box::pin(engines.track_future(wake(line, message, handler(), sleep_after)));
        let Some(asleep) = awake.await else { return };
        line = asleep;
    }
}

/// One engine's life, from the message that woke it; gives the line back if it went to sleep, and nothing if the connection ended.
async fn wake(
    line: Box<Line>,
    message: Box<ClientJsonRpcMessage>,
    handler: Handler,
    sleep_after: Duration,
) -> Option<Box<Line>> {
    let (returns, returned) = oneshot::channel();
    let gone = handler.gone.clone();
    let handler = Served::from(handler);
    let (greeting, ends) = (line.greeting().cloned(), CancellationToken::new());
    let mut lent = Lent {
        line: Some(line),
        unread: vec![*message],
        returns: Some(returns),
        gone,
        ends: ends.clone(),
        sleep_after,
        check: Box::pin(tokio::time::sleep(sleep_after)),
        stirred: true,
        asleep: false,
    };
    let engine = match greeting {
        Some(Greeting::Initialized(client, offers, protocol)) => {
            let client = InitializeRequestParams::new(offers.into(), *client).with_protocol_version(protocol);
            Ok(serve_directly_with_ct(handler, lent, Some(client), ends))
        }
        Some(Greeting::Inline(protocol)) => {
            lent.unread.push(reminder(protocol));
            serve_server_with_ct(handler, lent, ends).await
        }
        None => serve_server_with_ct(handler, lent, ends).await,
    };
    // The errors are ends of connections before any handshake: nothing that anybody could act on.
    if let Ok(engine) = engine {
        engine.waiting().await.ok();
    }
    returned.await.ok()
}

/// A request that takes an engine out of its handshake as the connection's first one did, and asks for nothing that there is.
fn reminder(protocol: ProtocolVersion) -> ClientJsonRpcMessage {
    let mut request = ClientRequest::ListPromptsRequest(ListPromptsRequest::default());
    let meta = request.get_meta_mut();
    meta.set_protocol_version(protocol);
    meta.set_client_info(Implementation::new("", ""));
    meta.set_client_capabilities(ClientCapabilities::default());
    ClientJsonRpcMessage::request(request, REMINDER)
}

/// A line in an engine's hands. However that engine ends, the line goes back to its connection if it is to be read on.
struct Lent {
    /// Taken when this is dropped, and not before.
    line: Option<Box<Line>>,
    /// What the engine reads first, the last one first.
    unread: Vec<ClientJsonRpcMessage>,
    returns: Option<oneshot::Sender<Box<Line>>>,
    /// Cancelled when the socket is gone, before `ends` is, so that a handler can tell a lost client from one that cancels.
    gone: CancellationToken,
    /// Ends the engine. Without it the engine would wait five seconds for its handlers first.
    ends: CancellationToken,
    sleep_after: Duration,
    /// When it is looked whether anything stirred since the last look: one timer for a life, and none for every message.
    check: Pin<Box<Sleep>>,
    stirred: bool,
    asleep: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (true, Some(line), Some(returns)) = (self.asleep, self.line.take(), self.returns.take()) {
            // A connection that does not wait for it has ended.
            returns.send(line).ok();
        }
    }
}

impl Transport<RoleServer> for Lent {
    type Error = Infallible;

    fn send(
        &mut self,
        item: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        self.stirred = true;
        let sent = self.line.as_mut().map(|line| line.send(item));
        async move {
            if let Some(sent) = sent {
                sent.await;
            }
            Ok(())
        }
    }

    /// The next message; none when the connection is over, or the engine is to sleep.
    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        if let Some(message) = self.unread.pop() {
            return Some(message);
        }
        let line = self.line.as_mut()?;
        loop {
            tokio::select! {
                biased;
                message = line.next() => {
                    self.stirred = true;
                    if message.is_none() {
                        self.gone.cancel();
                        self.ends.cancel();
                    }
                    return message.map(|message| *message);
                }
                () = self.check.as_mut() => {
                    self.asleep = !self.stirred && line.is_quiet();
                    if self.asleep {
                        return None;
                    }
                    self.stirred = false;
                    self.check.as_mut().reset(clock::now() + self.sleep_after);
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
