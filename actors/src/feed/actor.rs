//! The actor.

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, StreamHandler, WrapFuture};
use bytestring::ByteString;
use futures_util::stream;
use tokio::sync::broadcast::error::RecvError;

use super::messages::Heard;
use super::source::Watched;
use crate::session::messages::{Inbound, Link, Outbox};

/// One browser's live subscription. It is never restarted: a browser whose socket ends opens another.
pub struct Feed {
    outbox: Outbox,
    inbound: Option<Inbound>,
    watched: Watched,
    /// The place of what was sent last.
    seq: u64,
}

impl Feed {
    /// Starts one on this thread; it ends with its socket.
    pub fn start(link: Link, watched: Watched) {
        let Link { inbound, outbox, ended: _ } = link;
        Actor::start(Self { outbox, inbound: Some(inbound), watched, seq: 0 });
    }

    /// Sends, and hears nothing else meanwhile: what changes while the browser takes nothing is not kept for it.
    fn send(&self, text: ByteString, context: &mut Context<Self>) {
        let outbox = self.outbox.clone();
        context.wait(async move { outbox.send(text, None).await }.into_actor(self));
    }

    fn send_all(&mut self, context: &mut Context<Self>) {
        let (seq, text) = self.watched.snapshot();
        self.seq = seq;
        self.send(text.into(), context);
    }
}

impl Actor for Feed {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        // Before the picture is taken, so that nothing falls between.
        let changes = self.watched.subscribe();
        if let Some(inbound) = self.inbound.take() {
            context.add_stream(stream::unfold((changes, inbound), |(mut changes, mut inbound)| async move {
                let heard = tokio::select! {
                    said = inbound.recv() => said.map(|_| Heard::Behind)?,
                    change = changes.recv() => match change {
                        Ok((seq, text)) => Heard::Changed { seq, text },
                        Err(RecvError::Lagged(_)) => Heard::Behind,
                        Err(RecvError::Closed) => return None,
                    },
                };
                Some((heard, (changes, inbound)))
            }));
        }
        let outbox = self.outbox.clone();
        let gone = async move {
            tokio::select! {
                () = outbox.gone() => {}
                () = outbox.stalled() => {}
            }
        };
        context.spawn(gone.into_actor(self).map(|(), _, context| context.stop()));
        self.send_all(context);
    }
}

impl StreamHandler<Heard> for Feed {
    fn handle(&mut self, heard: Heard, context: &mut Context<Self>) {
        match heard {
            Heard::Changed { seq, .. } if seq <= self.seq => {}
            Heard::Changed { seq, text } if seq == self.seq + 1 => {
                self.seq = seq;
                self.send(text, context);
            }
            Heard::Changed { .. } | Heard::Behind => self.send_all(context),
        }
    }
}
