//! Resources that can be read and watched, and prompts that can be got.

use rmcp::ErrorData;
use rmcp::model::{
    ContentBlock, GetPromptRequestParams, GetPromptResult, Prompt, PromptArgument, PromptMessage,
    ReadResourceResult, Resource, ResourceContents, ResourceTemplate, Role,
};
use serde_json::json;

use super::contents::{IMAGE, image};
use super::rounds;

const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";
const WATCHED: &str = "test://watched-resource";
const PROMPTS: [&str; 4] = [
    "test_simple_prompt",
    "test_prompt_with_arguments",
    "test_prompt_with_embedded_resource",
    "test_prompt_with_image",
];

pub(super) fn resources() -> impl Iterator<Item = Resource> {
    let all = [(TEXT, "static-text", "text/plain"), (BINARY, "static-binary", "image/png")];
    let all = all.into_iter().chain([(WATCHED, "watched-resource", "text/plain")]);
    all.map(|(uri, name, kind)| {
        Resource::new(uri, name).with_description("For the conformance suite.").with_mime_type(kind)
    })
}

pub(super) fn template() -> ResourceTemplate {
    ResourceTemplate::new("test://template/{id}/data", "template")
        .with_description("For the conformance suite.")
        .with_mime_type("application/json")
}

/// What is read there, if it is one of these.
pub(super) fn read(uri: &str) -> Option<ReadResourceResult> {
    let contents = match uri {
        TEXT => {
            let text = "This is the content of the static text resource.";
            ResourceContents::text(text, uri).with_mime_type("text/plain")
        }
        BINARY => ResourceContents::blob(IMAGE, uri).with_mime_type("image/png"),
        WATCHED => ResourceContents::text("It never changes.", uri).with_mime_type("text/plain"),
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data = format!("Data for ID: {id}");
            let text = json!({ "id": id, "templateTest": true, "data": data }).to_string();
            ResourceContents::text(text, uri).with_mime_type("application/json")
        }
    };
    Some(ReadResourceResult::new(vec![contents]))
}

/// Whether it can be watched.
pub(super) fn watched(uri: &str) -> Result<(), ErrorData> {
    if uri == WATCHED {
        return Ok(());
    }
    Err(ErrorData::resource_not_found("There is no such resource.", Some(json!({ "uri": uri }))))
}

pub(super) fn has_prompt(name: &str) -> bool {
    PROMPTS.contains(&name) || name == rounds::PROMPT
}

pub(super) fn prompts() -> impl Iterator<Item = Prompt> {
    PROMPTS.into_iter().chain([rounds::PROMPT]).map(|name| {
        let arguments: &[&str] = match name {
            "test_prompt_with_arguments" => &["arg1", "arg2"],
            "test_prompt_with_embedded_resource" => &["resourceUri"],
            _ => &[],
        };
        let arguments = arguments.iter().map(|name| PromptArgument::new(*name).with_required(true));
        Prompt::new(name, Some("For the conformance suite."), Some(arguments.collect()))
    })
}

/// A prompt, if it is one of these.
pub(super) fn prompt(request: &GetPromptRequestParams) -> Result<Option<GetPromptResult>, ErrorData> {
    let argument = |name: &str| {
        let arguments = request.arguments.as_ref();
        let value = arguments.and_then(|arguments| arguments.get(name)).and_then(|value| value.as_str());
        value.ok_or_else(|| ErrorData::invalid_params(format!("The argument `{name}` is missing."), None))
    };
    let content = match request.name.as_str() {
        "test_simple_prompt" => vec![ContentBlock::text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => {
            let (one, two) = (argument("arg1")?, argument("arg2")?);
            vec![ContentBlock::text(format!("Prompt with arguments: arg1='{one}', arg2='{two}'"))]
        }
        "test_prompt_with_embedded_resource" => {
            let text = "Embedded resource content for testing.";
            let resource = ResourceContents::text(text, argument("resourceUri")?);
            let resource = resource.with_mime_type("text/plain");
            let words = "Please process the embedded resource above.";
            vec![ContentBlock::resource(resource), ContentBlock::text(words)]
        }
        "test_prompt_with_image" => vec![image(), ContentBlock::text("Please analyze the image above.")],
        _ => return Ok(None),
    };
    let messages = content.into_iter().map(|content| PromptMessage::new(Role::User, content));
    Ok(Some(GetPromptResult::new(messages.collect())))
}
