//! What a client is told when there is no way to the daemon, and how long the bridge tries before it says so. Pure.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use exai_actors::error::{CallError, ErrorKind};

use super::daemon::Down;
use crate::mcp::client::ClientError;

/// A daemon that starts, or that has too many connections, may come to it.
const LONG: Duration = Duration::from_secs(40);
/// What answers nothing may be busy.
const MIDDLE: Duration = Duration::from_secs(10);
/// What answers nonsense, or ends at once, may be a daemon that is just ending.
const SHORT: Duration = Duration::from_secs(3);

impl Down {
    /// How long attempts go on before their failure is the answer.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Client(error) => match error {
                ClientError::NoDaemon(_) | ClientError::Refused { status: 429 | 503, .. } => LONG,
                ClientError::Refused { .. } | ClientError::Tls(_) => Duration::ZERO,
                ClientError::Foreign { .. } => SHORT,
                ClientError::Unreachable { .. }
                | ClientError::Gone
                | ClientError::Call(_)
                | ClientError::Cancelled => MIDDLE,
            },
            Self::Starting => LONG,
            Self::Handshake(_) | Self::Stillborn { .. } => SHORT,
            Self::Token(_) | Self::NoFolder | Self::Folder { .. } | Self::Spawn(_) => Duration::ZERO,
        }
    }

    /// The answer to whoever waits.
    pub(super) fn to_call_error(&self, address: SocketAddr) -> CallError {
        let taken = format!(
            "What listens at {address} is no EXAI; end it, or give EXAI another address (EXAI_LISTEN__MCP, for the daemon and for this bridge)."
        );
        let (kind, message) = match self {
            Self::Client(error) => match error {
                ClientError::Refused { status: 401, .. } => {
                    let message = format!(
                        "The daemon at {address} refused the token; give this bridge the one that `exai token` prints there (EXAI_TOKEN)."
                    );
                    (ErrorKind::Unauthorized, message)
                }
                ClientError::Refused { status: 429 | 503, .. } => {
                    let message =
                        format!("The daemon at {address} takes no more connections; ask again later.");
                    (ErrorKind::OverCapacity, message)
                }
                ClientError::Refused { status: 403, hint, .. } => {
                    (ErrorKind::Unauthorized, format!("The daemon at {address} refused this bridge: {hint}."))
                }
                ClientError::Refused { .. }
                | ClientError::Foreign { .. }
                | ClientError::Unreachable { .. } => (ErrorKind::Internal, taken),
                ClientError::Tls(problem) => {
                    (ErrorKind::Internal, format!("The daemon at {address} is not trusted: {problem}."))
                }
                ClientError::NoDaemon(_)
                | ClientError::Gone
                | ClientError::Call(_)
                | ClientError::Cancelled => (ErrorKind::Internal, unreached(address)),
            },
            Self::Handshake(_) => (ErrorKind::Internal, unreached(address)),
            Self::Starting
            | Self::Token(_)
            | Self::NoFolder
            | Self::Folder { .. }
            | Self::Spawn(_)
            | Self::Stillborn { .. } => {
                let why =
                    self.source().map_or_else(|| self.to_string(), |source| format!("{self}: {source}"));
                let message = format!(
                    "No EXAI listens at {address}, and none could be started: {why}. Start it with `exai serve`."
                );
                (ErrorKind::Internal, message)
            }
        };
        CallError::new(kind, message)
    }
}

fn unreached(address: SocketAddr) -> String {
    format!("The daemon at {address} cannot be reached; look at its log, or start it with `exai serve`.")
}
