//! One connection to one provider: a client bound at birth to one host and one key. Upstream calls are tasks that it owns and
//! that outlive its restarts; it keeps no conversation, retries nothing and never sees another provider's key.

pub mod messages;

/// Placeholder until the actor stands.
#[derive(Debug)]
pub struct Provider;
impl actix::Actor for Provider {
    type Context = actix::Context<Self>;
}
