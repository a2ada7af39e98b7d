//! One connection to one provider: a client bound at birth to one host and one key. Upstream calls are tasks that it owns and
//! that outlive its restarts; it keeps no conversation, retries nothing and never sees another provider's key.

mod actor;
mod call;
mod client;
pub mod dialect;
pub mod endpoint;
pub mod errors;
pub mod fold;
mod listing;
pub mod messages;
mod patience;
mod pulse;
mod refusal;
pub mod sse;
mod transport;

pub use actor::{Provider, ProviderStart, Timeouts, start};
pub use listing::{ListedModel, Listings};
