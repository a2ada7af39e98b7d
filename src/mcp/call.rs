//! One `tools/call`: starts the tool, tells its progress, cancels it when its client says so, and gives back its one result.

use std::convert::Infallible;
use std::future::pending;

use exai_actors::clock;
use exai_actors::dispatcher::messages::{Attached, Caller, Progress};
use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::IdempotencyKey;
use exai_actors::tools::Started;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ProgressNotificationParam, ProgressToken, RequestMetaObject,
};
use rmcp::service::{Peer, RequestContext, RoleServer};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::answers;
use super::handler::Handler;
use super::progress::{Pace, words};

/// Where a call's own name stands in a request's `_meta`.
const KEY_KEY: &str = "exai/idempotencyKey";
/// The longest such name, in characters.
const KEY_CHARS_MAX: usize = 128;

/// The client's end of one call.
pub(super) struct Client {
    peer: Peer<RoleServer>,
    token: Option<ProgressToken>,
    cancelled: CancellationToken,
}

impl From<&RequestContext<RoleServer>> for Client {
    fn from(context: &RequestContext<RoleServer>) -> Self {
        Self {
            peer: context.peer.clone(),
            token: context.meta.get_progress_token(),
            cancelled: context.ct.clone(),
        }
    }
}

impl Handler {
    /// Calls a tool that exists.
    pub(super) async fn call(
        &self,
        request: CallToolRequestParams,
        meta: &RequestMetaObject,
        client: Client,
    ) -> CallToolResult {
        let caller = match self.caller(meta) {
            Ok(caller) => caller,
            Err(error) => return answers::failed(&error),
        };
        let arguments = request.arguments.unwrap_or_default();
        // Not raced against the cancel: a call that was started and then forgotten could not be cancelled.
        match self.toolbox.start(caller.clone(), &request.name, arguments).await {
            Ok(Started::Answered(answer)) => answers::answered(*answer),
            Ok(Started::Running(attached)) => self.follow(attached, &client, Some(&caller)).await,
            Ok(Started::Watching(attached)) => self.follow(attached, &client, None).await,
            Err(error) => answers::failed(&error),
        }
    }

    fn caller(&self, meta: &RequestMetaObject) -> Result<Caller, CallError> {
        let idempotency_key = meta.get(KEY_KEY).map(read_key).transpose()?;
        Ok(Caller { idempotency_key, ..Caller::new(self.principal.clone(), self.session) })
    }

    /// Stays with a running call until it is answered or its client has had enough. Where the call is its `owner`'s, a cancel ends
    /// the call; otherwise it ends the looking on alone.
    pub(super) async fn follow(
        &self,
        mut attached: Attached,
        client: &Client,
        owner: Option<&Caller>,
    ) -> CallToolResult {
        let call = attached.call;
        let progress = attached.progress.clone();
        let answer = tokio::select! {
            biased;
            answer = attached.answered() => answer,
            () = client.cancelled.cancelled() => {
                // A client that is gone did not cancel: the answer is paid for, and waits for whoever asks again.
                if let Some(caller) = owner.filter(|_| !self.gone.is_cancelled()) {
                    self.toolbox.cancel(caller, call, attached.follower);
                }
                return answers::failed(&CallError::new(ErrorKind::Cancelled, "Cancelled.").of_call(call));
            }
            never = client.tell(progress) => match never {},
        };
        match &*answer {
            Ok(finished) => answers::answered(finished.clone().into()),
            Err(error) => answers::failed(error),
        }
    }
}

impl Client {
    /// Tells how the call is going for as long as it is polled. It runs beside the wait for the answer, so that a client that does
    /// not read its progress can still cancel.
    async fn tell(&self, mut progress: watch::Receiver<Progress>) -> Infallible {
        let Some(token) = &self.token else { return pending().await };
        let mut pace = Pace::default();
        let mut can_change = true;
        loop {
            let seen = *progress.borrow_and_update();
            let now = clock::now();
            let due_at = pace.due_at(seen.phase, now);
            if due_at <= now {
                let message = ProgressNotificationParam::new(token.clone(), pace.tell(seen.phase, now))
                    .with_message(words(&seen, now));
                // A client that is gone hears nothing, and the call goes on.
                self.peer.notify_progress(message).await.ok();
                continue;
            }
            tokio::select! {
                changed = progress.changed(), if can_change => can_change = changed.is_ok(),
                () = tokio::time::sleep_until(due_at) => {}
            }
        }
    }
}

fn read_key(value: &Value) -> Result<IdempotencyKey, CallError> {
    let key = value.as_str().filter(|key| {
        (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    key.map(IdempotencyKey::from).ok_or_else(|| {
        let message = format!("`{KEY_KEY}` must be 1 to {KEY_CHARS_MAX} visible ASCII characters.");
        CallError::new(ErrorKind::InvalidArguments, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_idempotency_key_is_short_visible_ascii() {
        let longest = "k".repeat(KEY_CHARS_MAX);
        for good in [json!("k"), json!("2026-11-22/a:b"), json!(longest)] {
            assert!(read_key(&good).is_ok(), "{good}");
        }
        let too_long = "k".repeat(KEY_CHARS_MAX + 1);
        for bad in
            [json!(""), json!("a b"), json!("\u{e9}"), json!("a\n"), json!(7), json!(null), json!(too_long)]
        {
            assert_eq!(read_key(&bad).map_err(|error| error.kind), Err(ErrorKind::InvalidArguments), "{bad}");
        }
    }
}
