//! What makes two requests the same request.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::messages::Question;

/// The SHA-256 of everything that a caller asks, lowercase hex. Who asks, and when, is not part of it.
pub(super) fn request_hash(question: &Question) -> String {
    let Question {
        tool,
        prompt,
        prompt_tokens: _,
        model,
        conversation,
        temperature,
        thinking,
        output_tokens_max,
    } = question;
    // An array has one order, and JSON escapes what could blur the borders between its items.
    let canonical =
        json!([tool, &**prompt, model, conversation, temperature, thinking, output_tokens_max]).to_string();
    Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            tool: "chat".into(),
            prompt: "why?".into(),
            prompt_tokens: 3,
            model: None,
            conversation: None,
            temperature: None,
            thinking: None,
            output_tokens_max: None,
        }
    }

    #[test]
    fn every_argument_counts() {
        let asked = request_hash(&question());
        assert_eq!(asked, request_hash(&question()));
        let others = [
            Question { tool: "debug".into(), ..question() },
            Question { prompt: "why? ".into(), ..question() },
            Question { model: Some("kimi-k2.6".to_owned()), ..question() },
            Question { conversation: Some(crate::ids::ConversationId::mint()), ..question() },
            Question { temperature: Some(0.5), ..question() },
            Question { thinking: Some(false), ..question() },
            Question { output_tokens_max: Some(1), ..question() },
        ];
        for other in others {
            assert_ne!(asked, request_hash(&other), "{other:?}");
        }
    }
}
