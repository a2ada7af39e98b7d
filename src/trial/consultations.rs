//! Synthetic consultations, one after another, each judged by its receipt, the double's journal and the scratch journal.

use std::sync::Arc;
use std::time::Duration;

use exai_actors::clock;
use exai_actors::dispatcher::messages::{Caller, Consult, Finished, Question};
use exai_actors::ids::SessionId;
use exai_actors::mail;
use exai_actors::models::tokens;
use exai_actors::storage::rows::CallState;

use super::{ASK_WITHIN, Measures, Step, in_ms};
use crate::wiring::scratch::{NAME, Scratch};

/// How many; enough for a 95th percentile.
const COUNT: usize = 20;
/// What is asked.
const PROMPT: &str = "A synthetic question of the operator's test, number";

/// Asks them all.
pub(super) async fn of(scratch: &Scratch, measures: &mut Measures) -> Vec<Step> {
    let session = SessionId::mint();
    let (mut answered, mut times) = (Vec::new(), Vec::new());
    for n in 1..=COUNT {
        let began = clock::now();
        if let Some(finished) = one(scratch, session, n).await {
            times.push(in_ms(clock::now() - began));
            answered.push(finished);
        }
    }
    let first_tokens = answered.iter().map(|one| in_ms(Duration::from_millis(one.receipt.first_token_ms)));
    measures.first_token_p50_ms = percentile(first_tokens.collect(), 50);
    measures.consultation_p50_ms = percentile(times.clone(), 50);
    measures.consultation_p95_ms = percentile(times, 95);
    judge(scratch, &answered).await
}

async fn one(scratch: &Scratch, session: SessionId, n: usize) -> Option<Finished> {
    // The very same question again would get the answer that waits for it.
    let prompt = format!("{PROMPT} {n}");
    let question = Question {
        tool: "chat".into(),
        prompt_tokens: tokens::estimate(&prompt),
        prompt: prompt.into(),
        model: None,
        conversation: None,
        temperature: None,
        thinking: None,
        output_tokens_max: None,
    };
    let asked = Consult::new(Caller::new(NAME.into(), session), question);
    let mut attached = mail::ask(&scratch.dispatcher, asked, ASK_WITHIN).await.ok()?.ok()?;
    Arc::unwrap_or_clone(attached.answered().await).ok()
}

async fn judge(scratch: &Scratch, answered: &[Finished]) -> Vec<Step> {
    let double = scratch.double.addr().to_string();
    let told =
        answered.iter().filter(|one| one.receipt.host == double && one.receipt.provider.as_str() == NAME);
    let billed = answered.iter().filter(|one| one.receipt.cost_usd.is_some());
    let sent = scratch.double.journal().len();
    let mut stand = 0;
    for one in answered {
        let stored = scratch.store.load_call(&NAME.into(), one.receipt.call_id).await;
        let stored = stored.ok().flatten().filter(|call| call.state == CallState::Completed);
        stand += usize::from(stored.is_some_and(|call| call.result.as_deref() == Some(&*one.text)));
    }
    let step = |what, got: usize| Step {
        part: "consultation",
        what,
        ok: got == COUNT,
        said: format!("{got} of {COUNT}"),
    };
    vec![
        step("each question is answered", answered.len()),
        step("each receipt names the double that answered", told.count()),
        step("each question is sent once", sent),
        step("each answer stands in the journal as it was told", stand),
        step("none is billed", answered.len() - billed.count()),
    ]
}

fn percentile(mut values: Vec<f64>, percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied()
}
