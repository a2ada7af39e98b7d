//! `chat`: one question to one model, in a conversation that can go on.

use serde_json::{Map, Value, json};

use super::Definition;
use super::arguments::Arguments;
use crate::dispatcher::messages::Question;
use crate::error::CallError;
use crate::models::tokens::estimate;

/// Characters of a prompt. A message has at most 8 MiB; the model's context is the limit that matters.
const PROMPT_CHARS_MAX: usize = 4_000_000;
/// Characters of a model's name.
const MODEL_CHARS_MAX: usize = 128;
/// The largest output cap that any provider documents.
const OUTPUT_TOKENS_MAX: u32 = 1_048_576;

const KNOWN: [&str; 6] = ["prompt", "model", "continuation_id", "temperature", "thinking", "max_tokens"];

pub(super) const NAME: &str = "chat";

pub(super) fn definition() -> Definition {
    let schema = json!({
        "type": "object",
        "properties": {
            "prompt": {
                "type": "string", "minLength": 1,
                "description": "The question, with all that the model needs to know: it sees nothing else of your work."
            },
            "model": {
                "type": "string",
                "description": "A model id or alias from listmodels. Default: the conversation's last model, else the server's."
            },
            "continuation_id": {
                "type": "string",
                "description": "The continuation_id of an earlier answer, to go on with that conversation. Kept 30 days."
            },
            "temperature": {
                "type": "number", "minimum": 0, "maximum": 2,
                "description": "Sampling temperature, for models that take one."
            },
            "thinking": { "type": "boolean", "description": "Let the model reason first. Default: the model's own." },
            "max_tokens": {
                "type": "integer", "minimum": 1, "maximum": OUTPUT_TOKENS_MAX,
                "description": "Cap of the answer in tokens, reasoning included."
            }
        },
        "required": ["prompt"],
        "additionalProperties": false
    });
    Definition {
        name: NAME,
        title: "Ask another model",
        description: "Ask another AI model (Kimi, GLM, ...) for its opinion: a second view, a review, an idea. \
                      Long answers report progress. The answer's receipt has a continuation_id to go on with.",
        input_schema: super::about::object(schema),
        read_only: true,
        open_world: true,
    }
}

pub(super) fn parse(arguments: Map<String, Value>) -> Result<Question, CallError> {
    let mut given = Arguments::new(NAME, arguments);
    let prompt = given.text("prompt", PROMPT_CHARS_MAX)?;
    let prompt = given.required("prompt", prompt)?;
    let question = Question {
        tool: NAME.into(),
        prompt_tokens: estimate(&prompt),
        prompt: prompt.into(),
        model: given.text("model", MODEL_CHARS_MAX)?,
        conversation: given.id("continuation_id")?,
        temperature: given.number("temperature", 0.0, 2.0)?.map(|number| number as f32),
        thinking: given.boolean("thinking")?,
        output_tokens_max: given.whole("max_tokens", 1, OUTPUT_TOKENS_MAX)?,
    };
    given.finish(&KNOWN)?;
    Ok(question)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_and_the_parser_know_the_same_arguments() {
        let schema = definition().input_schema;
        let properties = schema["properties"].as_object().expect("an object");
        let mut listed: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut known = KNOWN.to_vec();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn a_full_question_is_understood() {
        let conversation = crate::ids::ConversationId::mint();
        let question = parse(super::super::about::object(json!({
            "prompt": "why?", "model": "kimi", "continuation_id": conversation, "temperature": 0.25,
            "thinking": true, "max_tokens": 100
        })));
        let question = question.expect("good arguments");
        assert_eq!(question.conversation, Some(conversation));
        assert_eq!(question.temperature, Some(0.25));
        assert_eq!((question.thinking, question.output_tokens_max), (Some(true), Some(100)));
    }

    #[test]
    fn a_missing_prompt_is_named() {
        let missing = parse(Map::new()).expect_err("it is required");
        assert!(missing.message.contains("`prompt` is required"), "{missing}");
    }
}
