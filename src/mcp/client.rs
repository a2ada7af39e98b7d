//! An MCP client over WebSocket, for the command line alone: the daemon's own door seen from outside. It retries nothing and keeps
//! nothing; a lost connection is an error.

#[cfg(test)]
mod tests;
pub(crate) mod wire;

use std::future::Future;
use std::time::Duration;

use exai_actors::error::{CallError, ErrorKind};
use exai_actors::receipt::Receipt;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ClientRequest,
    ErrorData, Implementation, ProgressNotificationParam, ServerResult,
};
use rmcp::service::{
    NotificationContext, PeerRequestOptions, RequestHandle, RoleClient, RunningService, ServiceError,
    serve_client,
};
use rmcp::{ClientHandler, model};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

pub(crate) use wire::http_client;

use crate::security::Token;
use crate::tls::{TlsError, Trust};

/// Progress notifications that may wait to be shown; more are dropped, as only the newest matters.
const PROGRESS_WAITING_MAX: usize = 16;
/// How long a close may take: the server may be gone.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// An open connection.
pub(crate) struct Client {
    service: RunningService<RoleClient, Listener>,
    progress: mpsc::Receiver<ProgressNotificationParam>,
    writer: JoinHandle<()>,
}

/// What a tool answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The answer itself.
    pub(crate) text: String,
    /// How it came about, when a model was asked.
    pub(crate) receipt: Option<Receipt>,
    /// The answer for programs, when the tool has one.
    pub(crate) structured: Option<Value>,
}

/// Why there is no connection, or no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The certificate that our own daemon is known by cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody listens there.
    #[error("no EXAI listens at {0}; start it with `exai serve`")]
    NoDaemon(Url),
    /// Whatever has the address says nothing.
    #[error("{0} does not answer: {wake}", wake = wake(.0.port_or_known_default().unwrap_or_default()))]
    Silent(Url),
    /// There is no way there, or no such name.
    #[error("the host of {url} cannot be reached: {problem}; look at --url")]
    Unreachable {
        /// Where.
        url: Url,
        /// What the system said.
        problem: String,
    },
    /// The gate refused us.
    #[error("the server at {url} answered {status}: {hint}")]
    Refused {
        /// Where.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// What to do.
        hint: &'static str,
    },
    /// What listens there speaks something else.
    #[error("what listens at {url} is no MCP server: {problem}")]
    Foreign {
        /// Where.
        url: Url,
        /// What was strange.
        problem: String,
    },
    /// The connection broke.
    #[error("the connection to the server broke; the call may go on there")]
    Gone,
    /// The server refused the call or failed at it.
    #[error("{0} ({kind})", kind = .0.kind.as_str())]
    Call(Box<CallError>),
    /// We cancelled it.
    #[error("cancelled")]
    Cancelled,
}

/// What to do about an address that is taken and does not answer.
pub(crate) fn wake(port: u16) -> String {
    format!(
        "an EXAI that hangs, or another program; `ss -ltnp 'sport = :{port}'` names the process there: let an exai go on (`kill -CONT \
         PID`, where it was stopped) or end it (`kill -9 PID` loses nothing) and start it with `exai serve`"
    )
}

impl Client {
    /// Connects and shakes hands, by the usual authorities or as `tls` says. A password in `url` is used as the token, and shown to nobody.
    pub(crate) async fn connect(url: &Url, token: &Token, tls: Option<Trust>) -> Result<Self, ClientError> {
        let (sink, stream, writer) = wire::open_for_engine(url, token, tls).await?;
        let (sender, progress) = mpsc::channel(PROGRESS_WAITING_MAX);
        let foreign = |problem: String| ClientError::Foreign { url: wire::shown(url), problem };
        let service = serve_client(Listener { progress: sender }, (sink, stream))
            .await
            .map_err(|_| foreign("the handshake failed".to_owned()))?;
        Ok(Self { service, progress, writer })
    }

    /// Who answers: name, version and protocol, as the server says.
    pub(crate) fn server(&self) -> String {
        let Some(peer) = self.service.peer().peer_info() else { return "an unnamed server".to_owned() };
        let name = peer.server_info.as_ref().map_or("unnamed", |server| server.name.as_str());
        let version = peer.server_info.as_ref().map_or("", |server| server.version.as_str());
        format!("{name} {version}, protocol {}", peer.protocol_version)
    }

    /// The names of all tools.
    pub(crate) async fn tools(&self) -> Result<Vec<String>, ClientError> {
        let tools = self.service.peer().list_all_tools().await.map_err(failed)?;
        Ok(tools.into_iter().map(|tool| tool.name.into_owned()).collect())
    }

    /// Calls a tool and says how far it is as often as the server does. When `cancelled` ends first, the server is told so.
    pub(crate) async fn call(
        &mut self,
        tool: &'static str,
        arguments: Map<String, Value>,
        mut on_progress: impl FnMut(&str),
        cancelled: impl Future<Output = ()>,
    ) -> Result<Reply, ClientError> {
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        // rmcp gives every request a progress token of its own.
        let options = PeerRequestOptions::no_options();
        let mut call =
            self.service.peer().send_cancellable_request(request, options).await.map_err(failed)?;
        let mut cancelled = std::pin::pin!(cancelled);
        loop {
            tokio::select! {
                answer = &mut call.rx => return read(answer.map_err(|_| ClientError::Gone)?.map_err(failed)?),
                Some(progress) = self.progress.recv() => {
                    if let Some(message) = progress.message.filter(|_| progress.progress_token == call.progress_token) {
                        on_progress(&message);
                    }
                }
                () = &mut cancelled => return Err(cancel(call).await),
            }
        }
    }

    /// Closes the connection once everything is sent, a cancellation above all.
    pub(crate) async fn close(self) {
        // How it ends matters to nobody.
        let _ = self.service.cancel().await;
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.writer).await;
    }
}

async fn cancel(call: RequestHandle<RoleClient>) -> ClientError {
    match call.cancel(Some("the user pressed Ctrl-C".to_owned())).await {
        Ok(()) => ClientError::Cancelled,
        Err(_) => ClientError::Gone,
    }
}

fn read(answer: ServerResult) -> Result<Reply, ClientError> {
    // Every other result belongs to another method: whatever it is, it is not an answer to this call.
    let ServerResult::CallToolResult(result) = answer else {
        return Err(call_failed(CallError::new(
            ErrorKind::Internal,
            "the server answered something else than a tool's result",
        )));
    };
    let text = result
        .content
        .first()
        .and_then(|block| block.as_text())
        .map(|text| text.text.clone())
        .unwrap_or_default();
    if result.is_error == Some(true) {
        let error = meta::<CallError>(&result, "exai/error")
            .unwrap_or_else(|| CallError::new(ErrorKind::Internal, ""));
        return Err(call_failed(with_message(error, &text)));
    }
    let receipt = meta(&result, "exai/receipt");
    Ok(Reply { text, receipt, structured: result.structured_content })
}

fn meta<T: DeserializeOwned>(result: &CallToolResult, key: &str) -> Option<T> {
    let value = result.meta.as_ref()?.0.get(key)?;
    serde_json::from_value(value.clone()).ok()
}

fn failed(error: ServiceError) -> ClientError {
    // Everything else that can go wrong means that no answer will come.
    let ServiceError::McpError(ErrorData { message, data, .. }) = error else { return ClientError::Gone };
    let error = data.and_then(|data| serde_json::from_value(data).ok());
    let error = error.unwrap_or_else(|| CallError::new(ErrorKind::InvalidArguments, ""));
    call_failed(with_message(error, &message))
}

fn call_failed(error: CallError) -> ClientError {
    ClientError::Call(Box::new(error))
}

fn with_message(mut error: CallError, message: &str) -> CallError {
    if error.message.is_empty() {
        message.clone_into(&mut error.message);
    }
    error
}

/// Hears what the server says of itself.
struct Listener {
    progress: mpsc::Sender<ProgressNotificationParam>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("exai", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), us)
            .with_protocol_version(model::ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        // Nobody listens, or it falls behind: the next one says more.
        let _ = self.progress.try_send(progress);
    }
}
