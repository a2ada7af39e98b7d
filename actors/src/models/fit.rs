//! Which turns of a conversation fit into the prompt. Pure; it never cuts a turn, and never sends half an exchange.

use crate::error::{CallError, ErrorKind};
use crate::ids::ModelId;

use super::Model;
use crate::models::Role;

/// The most turns of a conversation that a prompt holds.
pub const TURNS_MAX: usize = 50;
/// Tokens that each message costs beyond its text: role and separators.
pub const MESSAGE_TOKENS: u32 = 6;

/// One earlier turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Who spoke.
    pub role: Role,
    /// An estimate of its text.
    pub tokens: u32,
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The model's context: prompt and answer together.
    pub context_tokens: u32,
    /// What the answer may take of it.
    pub output_tokens: u32,
    /// The most earlier turns; [`TURNS_MAX`] by default.
    pub turns_max: usize,
}

impl Room {
    /// The room of a model whose answer may take `output_tokens`.
    pub fn of(model: &Model, output_tokens: u32) -> Self {
        Self { context_tokens: model.context_tokens, output_tokens, turns_max: TURNS_MAX }
    }
}

/// What is sent of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// The first turn that is sent; all after it are too.
    pub first: usize,
    /// How many turns are sent.
    pub sent: usize,
    /// An estimate of the whole prompt.
    pub prompt_tokens: u32,
}

/// What must be sent whatever happens is longer than the model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the question is about {tokens} tokens long, {over_by} more than fit")]
pub struct TooLong {
    /// The length of what must be sent.
    pub tokens: u32,
    /// How many tokens are too many.
    pub over_by: u32,
}

impl TooLong {
    /// The refusal as the caller gets it.
    pub fn to_call_error(&self, model: &ModelId) -> CallError {
        let message = format!(
            "the question with its files and instructions is about {} tokens, {} more than {model} takes beside its answer: \
             send less text or fewer files, lower max_tokens, or ask a model with a larger context",
            self.tokens, self.over_by
        );
        CallError::new(ErrorKind::TooLarge, message).with("tokens", self.tokens).with("over_by", self.over_by)
    }
}

/// Chooses the newest turns that fit beside `fixed_tokens` (instructions, files and the question itself, with
/// [`MESSAGE_TOKENS`] for each). `turns` are oldest first. Whole exchanges slide out, oldest first: what is sent never begins with
/// an answer whose question is gone.
pub fn fit(turns: &[Turn], fixed_tokens: u32, room: Room) -> Result<Fit, TooLong> {
    let prompt_max = room.context_tokens.saturating_sub(room.output_tokens);
    let Some(mut left) = prompt_max.checked_sub(fixed_tokens) else {
        return Err(TooLong { tokens: fixed_tokens, over_by: fixed_tokens - prompt_max });
    };
    let mut first = turns.len();
    let mut end = turns.len();
    let mut prompt_tokens = fixed_tokens;
    while let Some(begin) = exchange_before(turns, end) {
        let tokens = turns[begin..end]
            .iter()
            .fold(0u32, |sum, turn| sum.saturating_add(turn.tokens).saturating_add(MESSAGE_TOKENS));
        if tokens > left || turns.len() - begin > room.turns_max {
            break;
        }
        left -= tokens;
        prompt_tokens = prompt_tokens.saturating_add(tokens);
        first = begin;
        end = begin;
    }
    Ok(Fit { first, sent: turns.len() - first, prompt_tokens })
}

/// Where the exchange begins that ends before `end`: at the first question of a run of questions with what follows it.
fn exchange_before(turns: &[Turn], end: usize) -> Option<usize> {
    let last_question = turns[..end].iter().rposition(|turn| turn.role == Role::User)?;
    let mut begin = last_question;
    while begin > 0 && turns[begin - 1].role != Role::Assistant {
        begin -= 1;
    }
    Some(begin)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn talk(exchanges: usize, tokens: u32) -> Vec<Turn> {
        let pair = [Role::User, Role::Assistant].map(|role| Turn { role, tokens });
        pair.into_iter().cycle().take(exchanges * 2).collect()
    }

    fn room(context_tokens: u32) -> Room {
        Room { context_tokens, output_tokens: 100, turns_max: TURNS_MAX }
    }

    #[test]
    fn fifty_turns_are_sent_of_a_long_talk() {
        let fit = fit(&talk(40, 10), 10, room(100_000)).unwrap();
        assert_eq!((fit.first, fit.sent), (30, 50));
        assert_eq!(fit.prompt_tokens, 10 + 50 * 16);
    }

    #[test]
    fn whole_exchanges_slide_out() {
        // Room for 5 turns of 16: two exchanges.
        let fit = fit(&talk(10, 10), 20, room(100 + 20 + 5 * 16)).unwrap();
        assert_eq!((fit.first, fit.sent), (16, 4));
    }

    #[test]
    fn a_question_that_is_too_long_says_by_how_much() {
        assert_eq!(fit(&talk(3, 10), 1000, room(1099)), Err(TooLong { tokens: 1000, over_by: 1 }));
        assert_eq!(fit(&talk(3, 10), 1000, room(1100)).unwrap().sent, 0);
        let error = TooLong { tokens: 1000, over_by: 1 }.to_call_error(&"m".into());
        assert_eq!((error.kind, &error.detail["over_by"]), (ErrorKind::TooLarge, &1.into()));
    }

    proptest! {
        #[test]
        fn what_is_sent_fits_and_begins_with_a_question(
            turns in prop::collection::vec((any::<bool>(), 0u32..200), 0..120),
            fixed in 0u32..500,
            context in 0u32..5000,
        ) {
            let turns = turns.iter().map(|(asks, tokens)| {
                Turn { role: if *asks { Role::User } else { Role::Assistant }, tokens: *tokens }
            }).collect::<Vec<_>>();
            let Ok(fit) = fit(&turns, fixed, room(context)) else {
                prop_assert!(fixed > context.saturating_sub(100));
                return Ok(());
            };
            let sent = &turns[fit.first..];
            prop_assert_eq!(sent.len(), fit.sent);
            prop_assert!(fit.sent <= TURNS_MAX);
            prop_assert!(sent.first().is_none_or(|turn| turn.role == Role::User));
            prop_assert!(fit.first == 0 || sent.is_empty() || turns[fit.first - 1].role == Role::Assistant);
            let tokens = fixed + sent.iter().map(|turn| turn.tokens + MESSAGE_TOKENS).sum::<u32>();
            prop_assert_eq!(tokens, fit.prompt_tokens);
            prop_assert!(tokens <= context.saturating_sub(100));
        }
    }
}
