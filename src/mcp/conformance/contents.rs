//! Tools that answer with every kind of content, and those that tell how they are going meanwhile.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, LoggingLevel, LoggingMessageNotificationParam,
    ProgressNotificationParam, ProtocolVersion, ResourceContents, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};

use super::super::http::stream::Log;
use super::{is_modern, text, tool};

/// One pixel, red (PNG).
pub(super) const IMAGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
/// No sound at all (WAV).
const SOUND: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
/// Between two notifications of one call.
const PAUSE: Duration = Duration::from_millis(50);

/// The tool whose stream is cut while it runs.
pub(super) const RECONNECTION: &str = "test_reconnection";

const PLAIN: [(&str, &str); 10] = [
    ("test_simple_text", "answers with a text"),
    ("test_image_content", "answers with an image"),
    ("test_audio_content", "answers with a sound"),
    ("test_embedded_resource", "answers with a resource"),
    ("test_multiple_content_types", "answers with a text, an image and a resource"),
    ("test_error_handling", "fails"),
    ("test_tool_with_logging", "logs three times"),
    ("test_logging_tool", "logs three times, where its request wants that"),
    ("test_tool_with_progress", "tells its progress three times"),
    (RECONNECTION, "closes its stream before it answers"),
];

pub(super) fn tools() -> impl Iterator<Item = Tool> {
    let plain = PLAIN.iter().map(|(name, words)| tool(name, words, json!({ "type": "object" })));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
        } },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    });
    let region = json!({
        "type": "object",
        "properties": { "region": { "type": "string", "x-mcp-header": "Region" } },
        "required": ["region"],
    });
    plain.chain([
        tool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", schema),
        tool("test_custom_header", "wants an argument in a header too", region),
    ])
}

/// The answer of a tool that has it at once.
pub(super) fn of(name: &str) -> Option<CallToolResult> {
    let content = match name {
        "test_simple_text" => vec![ContentBlock::text("This is a simple text response for testing.")],
        "test_image_content" => vec![image()],
        "test_audio_content" => vec![ContentBlock::audio(SOUND, "audio/wav")],
        "test_embedded_resource" => {
            let text = "This is an embedded resource content.";
            let resource = ResourceContents::text(text, "test://embedded-resource");
            vec![ContentBlock::resource(resource.with_mime_type("text/plain"))]
        }
        "test_multiple_content_types" => {
            let json = json!({ "test": "data", "value": 123 }).to_string();
            let resource = ResourceContents::text(json, "test://mixed-content-resource");
            vec![
                ContentBlock::text("Multiple content types test:"),
                image(),
                ContentBlock::resource(resource.with_mime_type("application/json")),
            ]
        }
        "test_error_handling" => {
            let words = "This tool intentionally returns an error for testing";
            return Some(CallToolResult::error(vec![ContentBlock::text(words)]));
        }
        "json_schema_2020_12_tool" | "test_custom_header" => {
            vec![ContentBlock::text("Its schema is what counts.")]
        }
        _ => return None,
    };
    Some(CallToolResult::success(content))
}

/// Whether a tool tells how it is going.
pub(super) fn takes_time(name: &str) -> bool {
    matches!(name, "test_tool_with_logging" | "test_logging_tool" | "test_tool_with_progress")
}

/// Calls one that does.
pub(super) async fn slowly(
    name: &str,
    level: LoggingLevel,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    // In 2026-07-28 a request says itself whether it wants to be logged to, and how much of it.
    let level = if is_modern(context) { context.meta.log_level() } else { Some(level) };
    let wants_info = matches!(level, Some(LoggingLevel::Debug | LoggingLevel::Info));
    let logs = name != "test_tool_with_progress" && wants_info;
    let steps =
        ["Tool execution started", "Tool processing data", "Tool execution completed"].map(Value::from);
    for (step, words) in steps.into_iter().enumerate() {
        if step > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let told = if logs {
            let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, words);
            context.peer.notify_logging_message(message).await
        } else if let Some(token) = context.meta.get_progress_token() {
            let so_far = [0.0, 50.0, 100.0].get(step).copied().unwrap_or(100.0);
            let message = ProgressNotificationParam::new(token, so_far).with_total(100.0);
            context.peer.notify_progress(message).await
        } else {
            Ok(())
        };
        if told.is_err() {
            return Err(ErrorData::internal_error("nobody listens", None));
        }
    }
    Ok(text("Done, after some time."))
}

/// Answers once the connection that reads its stream was closed: the client of an era that can come back finds it there.
pub(super) async fn reconnection(context: &RequestContext<RoleServer>) -> CallToolResponse {
    let can_resume = context.protocol_version() == Some(ProtocolVersion::V_2025_11_25);
    if let Some(stream) = context.extensions.get::<Log>().filter(|_| can_resume) {
        tokio::select! {
            () = stream.hang_up() => tokio::time::sleep(PAUSE).await,
            () = context.ct.cancelled() => {}
        }
    }
    text("Its client came back for this.")
}

pub(super) fn image() -> ContentBlock {
    ContentBlock::image(IMAGE, "image/png")
}
