//! Every tool as a prompt, which clients show as a slash command. It is all derived from the tool's definition, so that none is
//! forgotten and none says something else than its tool.

use serde_json::{Map, Value};

use super::Definition;
use super::arguments::Arguments;
use crate::error::CallError;

/// Characters of one argument of a prompt; a person types it, or a client fills it in.
const ARGUMENT_CHARS_MAX: usize = 200_000;

/// One argument of a prompt. Its value is text, whatever the tool takes: MCP knows nothing else (2025-11-25, server/prompts).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptArgument {
    /// The tool's own name for it.
    pub name: String,
    /// What to give.
    pub description: String,
    /// Whether the tool needs it.
    pub required: bool,
}

impl Definition {
    /// The arguments of its prompt: the tool's, with those first that it needs.
    pub fn prompt_arguments(&self) -> Vec<PromptArgument> {
        let required = self.input_schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
        let properties = self.input_schema.get("properties").and_then(Value::as_object);
        let mut arguments: Vec<_> = properties
            .into_iter()
            .flatten()
            .map(|(name, schema)| PromptArgument {
                name: name.clone(),
                description: schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
                required: is_required(name),
            })
            .collect();
        arguments.sort_by_key(|argument| !argument.required);
        arguments
    }

    /// What the prompt says to the client's model: to call the tool with what the person gave.
    pub fn prompt(&self, given: Map<String, Value>) -> Result<String, CallError> {
        let known = self.prompt_arguments();
        let mut given = Arguments::new(self.name, given);
        let mut arguments = Map::new();
        for argument in &known {
            let text = given.text(&argument.name, ARGUMENT_CHARS_MAX)?;
            if argument.required && text.is_none() {
                given.required(&argument.name, text.as_ref())?;
            }
            arguments.extend(text.map(|text| (argument.name.clone(), Value::String(text))));
        }
        let names: Vec<&str> = known.iter().map(|argument| argument.name.as_str()).collect();
        given.finish(&names)?;
        let name = self.name;
        Ok(if arguments.is_empty() {
            format!(
                "Call the tool `{name}` of the MCP server EXAI without arguments and show me what it gives."
            )
        } else {
            format!(
                "Call the tool `{name}` of the MCP server EXAI with the arguments below, each in the type that the tool's \
                 schema names; add what it needs to know of our work. Then tell me what it answers.\n\n{}",
                Value::Object(arguments)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::about::object;
    use super::super::{chat, result};
    use super::*;

    #[test]
    fn a_prompt_takes_what_its_tool_takes() {
        let chat = chat::definition();
        let arguments = chat.prompt_arguments();
        assert_eq!((arguments[0].name.as_str(), arguments[0].required), ("prompt", true));
        assert!(arguments[1..].iter().all(|argument| !argument.required));
        assert!(arguments.iter().all(|argument| !argument.description.is_empty()), "{arguments:?}");
        let words = chat.prompt(object(json!({ "prompt": "why \"so\"?", "model": "kimi" }))).unwrap();
        assert!(words.contains(r#""prompt":"why \"so\"?""#) && words.contains("`chat`"), "{words}");
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let missing = result::definition().prompt(Map::new()).unwrap_err();
        assert!(missing.message.contains("`call_id` is required"), "{missing}");
        let unknown =
            chat::definition().prompt(object(json!({ "prompt": "x", "colour": "red" }))).unwrap_err();
        assert!(unknown.message.contains("`colour`"), "{unknown}");
    }
}
