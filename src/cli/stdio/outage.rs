//! What a client is told when there is no way to the daemon, and how long the bridge tries before it says so. Pure.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use exai_actors::clock::Instant;
use exai_actors::error::{CallError, ErrorKind};

use super::daemon::Down;
use crate::mcp::client::{ClientError, wake};

/// A daemon that starts, or that has too many connections, may come to it.
const LONG: Duration = Duration::from_secs(40);
/// What answers nothing may be busy.
const MIDDLE: Duration = Duration::from_secs(10);
/// What answers nonsense, or ends at once, may be a daemon that is just ending.
const SHORT: Duration = Duration::from_secs(3);
/// When to ask again whoever did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Since when nobody is reached while somebody waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failing {
    since: Instant,
    /// How patiently the last attempt's failure is taken, and since when all have failed so. An outage changes its face: a daemon that is
    /// full, then ends, then is not there is waited for each time anew, and never longer than [`LONG`] in all.
    patience: Duration,
    so_since: Instant,
}

impl Failing {
    /// One more attempt has failed.
    pub(super) fn after(before: Option<Self>, patience: Duration, now: Instant) -> Self {
        match before {
            Some(before) if before.patience == patience => before,
            Some(before) => Self { patience, so_since: now, ..before },
            None => Self { since: now, patience, so_since: now },
        }
    }

    /// Whether whoever waits is told.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now - self.so_since >= self.patience || now - self.since >= LONG
    }
}

impl Down {
    /// How long attempts go on before their failure is the answer.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Client(error) => match error {
                ClientError::NoDaemon(_) | ClientError::Refused { status: 429 | 503, .. } => LONG,
                ClientError::Refused { .. } | ClientError::Tls(_) => Duration::ZERO,
                ClientError::Foreign { .. } => SHORT,
                ClientError::Silent(_)
                | ClientError::Unreachable { .. }
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
                ClientError::Silent(_) => {
                    let wake = wake(address.port());
                    let message = format!(
                        "What listens at {address} does not answer: {wake}; if it is another program, give EXAI another address \
                         (EXAI_LISTEN__MCP, for the daemon and for this bridge). The bridge goes on trying; ask again then."
                    );
                    return CallError::new(ErrorKind::Internal, message).retry_after(RETRY_AFTER);
                }
                ClientError::Refused { .. } | ClientError::Foreign { .. } => (ErrorKind::Internal, taken),
                ClientError::Tls(problem) => {
                    (ErrorKind::Internal, format!("The daemon at {address} is not trusted: {problem}."))
                }
                ClientError::NoDaemon(_)
                | ClientError::Unreachable { .. }
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

#[cfg(test)]
mod tests {
    use exai_actors::clock;
    use url::Url;

    use super::*;

    #[test]
    fn an_address_without_a_way_to_it_is_not_said_to_be_taken() {
        let problem = "network is unreachable".to_owned();
        let url = Url::parse("ws://192.0.2.1:9/mcp").unwrap();
        let down = Down::Client(ClientError::Unreachable { url, problem });
        let said = down.to_call_error("192.0.2.1:9".parse().unwrap()).message;
        assert!(said.contains("cannot be reached") && !said.contains("is no EXAI"), "{said}");
    }

    #[test]
    fn an_outage_is_waited_for_as_patiently_as_its_last_face_wants() {
        let began = clock::now();
        let after = |faces: &[(u64, Duration)]| {
            faces.iter().fold((None, began), |(failing, _), (at_s, patience)| {
                let now = began + Duration::from_secs(*at_s);
                (Some(Failing::after(failing, *patience, now)), now)
            })
        };
        let is_over = |faces: &[(u64, Duration)]| {
            let (failing, now) = after(faces);
            failing.unwrap().is_over(now)
        };
        // A daemon that was full for a while and then ends is not given up because it ends.
        assert!(!is_over(&[(0, LONG), (20, LONG), (21, SHORT), (23, SHORT), (23, LONG)]));
        assert!(is_over(&[(0, LONG), (20, LONG), (21, SHORT), (24, SHORT)]));
        assert!(is_over(&[(0, SHORT), (3, MIDDLE), (20, SHORT), (40, MIDDLE)]));
        assert!(is_over(&[(0, Duration::ZERO)]) && is_over(&[(0, LONG), (1, Duration::ZERO)]));
    }
}
