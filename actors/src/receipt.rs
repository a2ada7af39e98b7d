//! What a caller learns about its call beside the answer: who really answered, how long it took and what it cost. Holds no content.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{CallId, ConversationId, ModelId, ProviderName, ToolName};
use crate::models::Usage;
use crate::provider_supervisor::messages::BreakerState;

/// The receipt of one call: `_meta["exai/receipt"]` of its tool result, and one line for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The call, for `result`.
    pub call_id: CallId,
    /// The conversation, for `continuation_id`.
    pub conversation_id: ConversationId,
    /// The tool.
    pub tool: ToolName,
    /// The model that EXAI asked for.
    pub model_asked: ModelId,
    /// The model that the answer names.
    pub model_served: String,
    /// The provider.
    pub provider: ProviderName,
    /// The host that answered.
    pub host: String,
    /// The first eight hex digits of the SHA-256 of the key that was used.
    pub key_fingerprint: String,
    /// Upstream requests made.
    pub attempts: u32,
    /// The breaker's state when the call went out.
    pub breaker: BreakerState,
    /// Time spent waiting for permits, in milliseconds.
    pub queue_ms: u64,
    /// From sending upstream to the first delta, in milliseconds.
    pub first_token_ms: u64,
    /// From asking until the answer was complete, before it was made durable, in milliseconds.
    pub total_ms: u64,
    /// Tokens as the provider counted them; none where it said nothing.
    pub tokens: Option<Usage>,
    /// Turns of the conversation.
    pub turns: TurnCount,
    /// US dollars, where the price is known.
    pub cost_usd: Option<f64>,
    /// Whether the answer came from EXAI's own cache.
    pub cached: bool,
    /// Whether the answer was cut, by the output cap or for a reason of the provider's.
    pub truncated: bool,
    /// The model that was asked for first, when another had to answer.
    pub fallback: Option<ModelId>,
}

/// How many turns a conversation has, and how many of them the model saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnCount {
    /// Turns stored before this call.
    pub used: u32,
    /// Turns sent to the model.
    pub sent: u32,
}

impl fmt::Display for Receipt {
    /// The line for people: `kimi-k2.6 via kimi (api.moonshot.ai), 1.2 s, 812+204 tokens, $0.0016 - call .., continue with ..`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = std::time::Duration::from_millis(self.total_ms).as_secs_f64();
        write!(out, "{} via {} ({}), {seconds:.1} s", self.model_served, self.provider, self.host)?;
        if let Some(tokens) = self.tokens {
            write!(out, ", {}+{} tokens", tokens.prompt, tokens.completion)?;
        }
        if let Some(cost) = self.cost_usd {
            write!(out, ", ${cost:.4}")?;
        }
        if self.truncated {
            out.write_str(", cut at the output cap")?;
        }
        write!(out, " - call_id {}, continuation_id {}", self.call_id, self.conversation_id)
    }
}
