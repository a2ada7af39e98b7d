//! Every tool as a prompt: a slash command in the clients that have such.

use exai_actors::error::CallError;
use exai_actors::tools::Definition;
use rmcp::ErrorData;
use rmcp::model::{
    CacheScope, GetPromptRequestParams, GetPromptResult, ListPromptsResult, Prompt, PromptArgument,
    PromptMessage, Role,
};

use super::resources::LIST_TTL_MS;

/// All of them, in the order of the tools.
pub(super) fn list(definitions: &[Definition]) -> ListPromptsResult {
    // Every client is told the same.
    ListPromptsResult::with_all_items(definitions.iter().map(prompt).collect())
        .with_ttl_ms(LIST_TTL_MS)
        .with_cache_scope(CacheScope::Public)
}

/// What one says, with what a person gave it.
pub(super) fn get(
    definitions: &[Definition],
    request: GetPromptRequestParams,
) -> Result<GetPromptResult, ErrorData> {
    let definition = definitions.iter().find(|definition| definition.name == request.name);
    // MCP 2025-11-25, server/prompts, error handling: -32602 for both.
    let definition = definition.ok_or_else(|| {
        ErrorData::invalid_params("There is no such prompt; `prompts/list` names those there are.", None)
    })?;
    let words = definition.prompt(request.arguments.unwrap_or_default()).map_err(|error| refused(&error))?;
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, words)])
        .with_description(definition.description))
}

fn prompt(definition: &Definition) -> Prompt {
    let arguments = definition.prompt_arguments().into_iter().map(|argument| {
        PromptArgument::new(argument.name)
            .with_description(argument.description)
            .with_required(argument.required)
    });
    let arguments: Vec<_> = arguments.collect();
    let arguments = Some(arguments).filter(|arguments| !arguments.is_empty());
    Prompt::new(definition.name, Some(definition.description), arguments).with_title(definition.title)
}

/// A refusal that is a protocol error and no tool's result.
pub(super) fn refused(error: &CallError) -> ErrorData {
    let shape = CallError { message: String::new(), ..error.clone() };
    ErrorData::invalid_params(error.message.clone(), serde_json::to_value(shape).ok())
}
