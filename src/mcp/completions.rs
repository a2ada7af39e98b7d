//! Completes what a person types into a prompt or a resource's address: names of models, and ids of the person's own conversations.

use exai_actors::ids::Principal;
use exai_actors::tools::Toolbox;
use rmcp::ErrorData;
use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference};

use super::resources;

/// Characters that are compared.
const TYPED_CHARS_MAX: usize = 128;

/// What an argument means, where we know its values.
enum Values {
    Models,
    Conversations,
    /// Anything: nothing is proposed.
    Free,
}

/// At most 100 proposals (MCP 2025-11-25, server/utilities/completion).
pub(super) async fn complete(
    toolbox: &Toolbox,
    principal: &Principal,
    request: CompleteRequestParams,
) -> Result<CompleteResult, ErrorData> {
    let values = values(toolbox, &request)?;
    let typed = request.argument.value.chars().take(TYPED_CHARS_MAX).collect::<String>();
    let most = CompletionInfo::MAX_VALUES;
    let mut found = match values {
        Values::Models => toolbox.model_names(&typed),
        Values::Conversations => {
            let ids = toolbox.conversation_ids(principal, &typed, most + 1).await;
            ids.map_err(|error| resources::unread(&error))?
        }
        Values::Free => Vec::new(),
    };
    let has_more = found.len() > most;
    found.truncate(most);
    let mut completion = CompletionInfo::default();
    completion.values = found;
    completion.has_more = Some(has_more);
    Ok(CompleteResult::new(completion))
}

fn values(toolbox: &Toolbox, request: &CompleteRequestParams) -> Result<Values, ErrorData> {
    let name = request.argument.name.as_str();
    let is_known = match &request.r#ref {
        Reference::Prompt(prompt) => {
            let definition = toolbox.definitions().iter().find(|definition| definition.name == prompt.name);
            definition.is_some_and(|definition| {
                definition.prompt_arguments().iter().any(|argument| argument.name == name)
            })
        }
        Reference::Resource(template) => {
            if template.uri == resources::CONVERSATION_TEMPLATE && name == "id" {
                return Ok(Values::Conversations);
            }
            template.uri == resources::CONVERSATION_TEMPLATE && name == "before"
        }
        // rmcp may learn of more; we know nothing of them.
        _ => false,
    };
    if !is_known {
        return Err(ErrorData::invalid_params("There is no such prompt, template or argument.", None));
    }
    Ok(match name {
        "model" => Values::Models,
        "continuation_id" => Values::Conversations,
        _ => Values::Free,
    })
}
