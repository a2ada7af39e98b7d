//! Tools that ask their client something while they run: requests from the server, in the eras that have them.

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientResult, ContentBlock, InputRequest,
    ServerRequest, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};

use super::{can, text, tool as define};

/// The tools, and the one argument of those that have one.
const TOOLS: [(&str, Option<&str>); 4] = [
    ("test_sampling", Some("prompt")),
    ("test_elicitation", Some("message")),
    ("test_elicitation_sep1034_defaults", None),
    ("test_elicitation_sep1330_enums", None),
];

pub(super) fn has(name: &str) -> bool {
    TOOLS.iter().any(|(tool, _)| *tool == name)
}

pub(super) fn tools() -> impl Iterator<Item = Tool> {
    TOOLS.iter().map(|(name, argument)| {
        let schema = match argument {
            Some(argument) => json!({
                "type": "object",
                "properties": { *argument: { "type": "string" } },
                "required": [*argument],
            }),
            None => json!({ "type": "object" }),
        };
        define(name, "asks its client", schema)
    })
}

/// Calls one; that its client cannot or will not answer is a failure of the tool's.
pub(super) async fn tool(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> CallToolResponse {
    match ask(request, context).await {
        Ok(words) => text(words),
        Err(words) => CallToolResult::error(vec![ContentBlock::text(words)]).into(),
    }
}

async fn ask(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<String, String> {
    let argument = |name: &str| {
        let arguments = request.arguments.as_ref();
        arguments.and_then(|all| all.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let question = match &*request.name {
        "test_sampling" => sampling(&argument("prompt"), 100),
        "test_elicitation" => elicitation(
            &argument("message"),
            json!({
                "username": { "type": "string", "description": "User's response" },
                "email": { "type": "string", "description": "User's email address" },
            }),
            &["username", "email"],
        ),
        "test_elicitation_sep1034_defaults" => elicitation("Please review the defaults.", defaults(), &[]),
        _ => elicitation("Please choose.", choices(), &[]),
    };
    if !is_answerable(&question, context) {
        return Err("The client cannot be asked that.".to_owned());
    }
    let asked = context.peer.send_request(as_request(question));
    let answer = tokio::select! {
        answer = asked => answer.map_err(|error| error.to_string())?,
        () = context.ct.cancelled() => return Err("Cancelled.".to_owned()),
    };
    if let ClientResult::CreateMessageResult(answer) = answer {
        let said = serde_json::to_value(&answer.message.content).unwrap_or_default();
        let said = said["text"].as_str().or_else(|| said[0]["text"].as_str()).unwrap_or_default();
        return Ok(format!("LLM response: {said}"));
    }
    let ClientResult::ElicitResult(answer) = answer else {
        return Err("The client answered something else.".to_owned());
    };
    let action = serde_json::to_value(&answer.action).unwrap_or_default();
    let (action, content) = (action.as_str().unwrap_or_default(), answer.content.unwrap_or_default());
    let words = if request.name == "test_elicitation" { "User response:" } else { "Elicitation completed:" };
    Ok(format!("{words} action={action}, content={content}"))
}

/// A question for the client's model.
pub(super) fn sampling(prompt: &str, tokens_max: u32) -> InputRequest {
    let content = json!({ "type": "text", "text": prompt });
    input(json!({
        "method": "sampling/createMessage",
        "params": { "messages": [{ "role": "user", "content": content }], "maxTokens": tokens_max },
    }))
}

/// A form for the client's user.
pub(super) fn elicitation(message: &str, properties: Value, required: &[&str]) -> InputRequest {
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let params = json!({ "mode": "form", "message": message, "requestedSchema": schema });
    input(json!({ "method": "elicitation/create", "params": params }))
}

/// The folders that the client works in.
pub(super) fn roots() -> InputRequest {
    input(json!({ "method": "roots/list", "params": {} }))
}

/// Whether the client of a request said that it can be asked this.
pub(super) fn is_answerable(question: &InputRequest, context: &RequestContext<RoleServer>) -> bool {
    let can = can(context);
    match question {
        InputRequest::CreateMessage(_) => can.sampling.is_some(),
        InputRequest::Elicitation(_) => can.elicitation.is_some(),
        InputRequest::ListRoots(_) => can.roots.is_some(),
        // rmcp may learn of more; we ask none of them.
        _ => false,
    }
}

fn as_request(question: InputRequest) -> ServerRequest {
    match question {
        InputRequest::CreateMessage(question) => ServerRequest::CreateMessageRequest(question),
        InputRequest::Elicitation(question) => ServerRequest::ElicitRequest(question),
        InputRequest::ListRoots(question) => ServerRequest::ListRootsRequest(question),
        _ => unreachable!("we ask nothing else"),
    }
}

#[expect(clippy::expect_used, reason = "written above, and shown to be right by every run of the suite")]
fn input(question: Value) -> InputRequest {
    serde_json::from_value(question).expect("a question of the protocol's")
}

fn defaults() -> Value {
    json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true },
    })
}

fn choices() -> Value {
    let titled = |titles: [&str; 3]| {
        let each = titles.iter().enumerate();
        each.map(|(at, title)| json!({ "const": format!("value{}", at + 1), "title": title }))
            .collect::<Value>()
    };
    let options = json!(["option1", "option2", "option3"]);
    json!({
        "untitledSingle": { "type": "string", "enum": options },
        "titledSingle": {
            "type": "string", "oneOf": titled(["First Option", "Second Option", "Third Option"]),
        },
        "legacyEnum": {
            "type": "string", "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
        "titledMulti": {
            "type": "array", "items": { "anyOf": titled(["First Choice", "Second Choice", "Third Choice"]) },
        },
    })
}
