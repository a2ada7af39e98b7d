//! The only module that sends messages between actors. Every send honours the receiver's mailbox bound, and every ask has an end.

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, MailboxError, Message};

/// A message that was not answered, or not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The receiver died while it held the message, or is gone for good.
    #[error("the actor dropped the message")]
    Closed,
    /// The receiver's mailbox is full.
    #[error("the actor's mailbox is full")]
    Full,
    /// No answer came in time.
    #[error("the actor did not answer in time")]
    TimedOut,
}

/// Asks `actor` and waits for its answer, at most `within`. A full mailbox makes the caller wait, never the memory grow.
///
/// Dropping the returned future before the receiver took the message takes the message back: a write must not be asked from a
/// task that its client can end. Use [`tell`] with a channel in the message for those.
pub async fn ask<A, M>(actor: &Addr<A>, message: M, within: Duration) -> Result<M::Result, MailError>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    match actor.send(message).timeout(within).await {
        Ok(answer) => Ok(answer),
        Err(MailboxError::Closed) => Err(MailError::Closed),
        Err(MailboxError::Timeout) => Err(MailError::TimedOut),
    }
}

/// Puts a message into the receiver's mailbox and goes on, or says at once why it could not.
pub fn tell<A, M>(actor: &Addr<A>, message: M) -> Result<(), MailError>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    actor.try_send(message).map_err(|refused| match refused {
        actix::prelude::SendError::Full(_) => MailError::Full,
        actix::prelude::SendError::Closed(_) => MailError::Closed,
    })
}
