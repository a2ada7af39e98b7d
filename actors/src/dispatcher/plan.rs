//! What a call will ask: which model, in which conversation, with which of its turns.

use std::sync::Arc;
use std::time::Duration;

use super::admission::Scopes;
use super::consultation::Request;
use super::desk::Desk;
use super::messages::{Caller, Question};
use crate::error::{CallError, ErrorKind};
use crate::ids::{CallId, ConversationId};
use crate::models::Model;
use crate::models::Role;
use crate::models::fit::{self, MESSAGE_TOKENS, Room, TURNS_MAX, fit};
use crate::provider::messages::{ChatMessage, Prompt};
use crate::receipt::TurnCount;
use crate::storage::StorageError;
use crate::storage::rows::{Thread, Turn};

/// The most tokens of an answer whose caller names no cap. Providers count the cap against the account's rate.
const OUTPUT_TOKENS_DEFAULT: u32 = 32_768;
/// How long an actor on our own thread may take to answer.
pub(super) const ASK_WITHIN: Duration = Duration::from_secs(5);
/// What a client is told to wait while the database is away.
const STORAGE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a call will ask.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) model: Arc<Model>,
    pub(super) conversation: ConversationId,
    pub(super) turns: TurnCount,
    /// An estimate of what is sent.
    pub(super) prompt_tokens: u32,
    sent: Vec<Turn>,
    output_tokens_max: u32,
}

impl Plan {
    /// Loads the conversation, if one is continued, picks the model (asked for > the conversation's last > the default) and fits
    /// the turns into its context.
    pub(super) async fn make(desk: &Desk, request: &Request) -> Result<Self, CallError> {
        Self::make_for(desk, request, request.question.model.as_deref()).await
    }

    /// The plan of a call that had to wait, made anew over the conversation as it is by then. It stays with its model, for which
    /// its permits are, and in the conversation that was begun.
    pub(super) async fn renew(self, desk: &Desk, request: &Request) -> Result<Self, CallError> {
        if request.question.conversation.is_none() {
            return Ok(self);
        }
        Self::make_for(desk, request, Some(self.model.id.as_str())).await
    }

    async fn make_for(desk: &Desk, request: &Request, asked_model: Option<&str>) -> Result<Self, CallError> {
        let Request { call, caller, question, .. } = request;
        let thread = match question.conversation {
            Some(conversation) => Some(load(desk, *call, caller, conversation).await?),
            None => None,
        };
        let last_model =
            thread.as_ref().and_then(|thread| thread.turns.last()).map(|turn| turn.model.as_str());
        let wanted = asked_model.or(last_model).unwrap_or(&desk.setup.default_model);
        let model = desk.setup.catalogue.get().resolve(wanted).map_err(|unknown| unknown.to_call_error())?;
        let output_tokens_max = output_cap(&model, question)?;
        let question_tokens = question.prompt_tokens;
        let (used, turns) = match thread {
            Some(thread) => (u32::try_from(thread.turn_count).unwrap_or(0), thread.turns),
            None => (0, Vec::new()),
        };
        let sizes: Vec<fit::Turn> = turns.iter().map(size_of).collect();
        let fitted =
            fit(&sizes, question_tokens.saturating_add(MESSAGE_TOKENS), Room::of(&model, output_tokens_max))
                .map_err(|too_long| too_long.to_call_error(&model.id))?;
        let sent = turns.get(fitted.first..).unwrap_or_default().to_vec();
        let turns = TurnCount { used, sent: u32::try_from(sent.len()).unwrap_or(u32::MAX) };
        let conversation = question.conversation.unwrap_or_else(ConversationId::mint);
        Ok(Self { model, conversation, turns, prompt_tokens: fitted.prompt_tokens, sent, output_tokens_max })
    }

    pub(super) fn scopes(&self, caller: &Caller) -> Scopes {
        Scopes {
            session: caller.session,
            conversation: self.conversation,
            provider: self.model.provider.clone(),
        }
    }

    pub(super) fn prompt(&self, question: &Question) -> Prompt {
        let history =
            self.sent.iter().map(|turn| ChatMessage { role: turn.role, content: Arc::clone(&turn.content) });
        let asked = ChatMessage { role: Role::User, content: Arc::clone(&question.prompt) };
        Prompt {
            model: Arc::clone(&self.model),
            messages: history.chain(std::iter::once(asked)).collect(),
            temperature: question.temperature,
            thinking: question.thinking,
            output_tokens_max: self.output_tokens_max,
        }
    }
}

fn size_of(turn: &Turn) -> fit::Turn {
    fit::Turn { role: turn.role, tokens: u32::try_from(turn.tokens).unwrap_or(0) }
}

async fn load(
    desk: &Desk,
    call: CallId,
    caller: &Caller,
    conversation: ConversationId,
) -> Result<Thread, CallError> {
    let loaded = desk.setup.store.load_thread(&caller.principal, conversation, TURNS_MAX).await;
    loaded.map_err(|error| not_read(call, &error))?.ok_or_else(|| {
        let message = "There is no such conversation. Leave continuation_id out to begin a new one.";
        CallError::new(ErrorKind::NotFound, message)
    })
}

fn output_cap(model: &Model, question: &Question) -> Result<u32, CallError> {
    let most = model.output_tokens_max;
    match question.output_tokens_max {
        None => Ok(most.min(OUTPUT_TOKENS_DEFAULT)),
        Some(cap) if cap <= most => Ok(cap),
        Some(_) => {
            let message = format!("max_tokens is over what {} can answer: at most {most}.", model.id);
            Err(CallError::new(ErrorKind::InvalidArguments, message))
        }
    }
}

/// The refusal of everything that needs the database while it is away.
pub(super) fn storage_unavailable() -> CallError {
    let message = "The database does not answer. Ask again in a few seconds.";
    CallError::new(ErrorKind::StorageUnavailable, message).retry_after(STORAGE_RETRY_AFTER)
}

/// The same, where reading failed.
pub(crate) fn not_read(call: CallId, error: &StorageError) -> CallError {
    log::error!(call = call.to_string().as_str(); "the journal could not be read: {error}");
    storage_unavailable()
}
