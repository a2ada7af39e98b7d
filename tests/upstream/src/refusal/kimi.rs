//! Moonshot's errors by name (table A4).

use super::Refusal;

const ACCOUNT: &str = "Your account org-double<ak-double>";

const REQUEST: &str = "invalid_request_error";

/// The fixed ones: name, status, type, message.
const TABLE: &[(&str, u16, &str, &str)] = &[
    ("content_filter", 400, "content_filter", "The request was rejected because it was considered high risk"),
    ("invalid_temperature", 400, REQUEST, "invalid temperature: only 1 is allowed for this model"),
    ("invalid_temperature_off", 400, REQUEST, "invalid temperature: only 0.6 is allowed for this model"),
    ("tool_choice", 400, REQUEST, "tool_choice 'required' is incompatible with thinking enabled"),
    ("invalid_thinking", 400, REQUEST, "invalid thinking: only type=enabled is allowed for this model"),
    (
        "reasoning_missing",
        400,
        REQUEST,
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1",
    ),
    ("empty_message", 400, REQUEST, "the message at position 1 with role 'assistant' must not be empty"),
    ("tool_call_id", 400, REQUEST, "tool_call_id  is not found"),
    ("too_long", 400, REQUEST, "Invalid request: Your request exceeded model token limit : 262144"),
    ("input_too_long", 400, REQUEST, "Input token length too long"),
    (
        "schema",
        400,
        REQUEST,
        "response_format json_schema is not a valid moonshot flavored json schema, details: <unknown keyword>",
    ),
    ("file_purpose", 400, REQUEST, "Invalid purpose: only 'file-extract' accepted"),
    (
        "file_size",
        400,
        REQUEST,
        "File size is too large, max file size is 100MB, please confirm and re-upload the file",
    ),
    ("file_empty", 400, REQUEST, "File size is zero, please confirm and re-upload the file"),
    (
        "file_count",
        400,
        REQUEST,
        "The number of files you have uploaded exceeded the max file count 1000, please delete previous uploaded files",
    ),
    ("total_size", 400, REQUEST, "total message size 2097153 exceeds limit 2097152"),
    ("auth", 401, "invalid_authentication_error", "Invalid Authentication"),
    ("incorrect_key", 401, "incorrect_api_key_error", "Incorrect API key provided"),
    ("permission", 403, "permission_denied_error", "The API you are accessing is not open"),
    ("permission_user", 403, "permission_denied_error", "You are not allowed to get other user info"),
    ("too_large", 413, REQUEST, "Request exceeds the maximum size"),
    (
        "overloaded",
        429,
        "engine_overloaded_error",
        "The engine is currently overloaded, please try again later",
    ),
    ("client_closed", 499, "client_closed_request", "client closed request"),
    ("server_error", 500, "server_error", "Failed to extract file: internal error"),
    ("unexpected_output", 500, "unexpected_output", "invalid state transition"),
    ("unavailable", 503, "server_unavailable", "The server is currently unavailable, please try again later"),
];

pub(super) fn by_name(name: &str, wait: u64, model: &str) -> Option<Refusal> {
    let limited = |what: String| {
        Some(Refusal::kimi(429, "rate_limit_reached_error", &format!("{ACCOUNT} request reached {what}")))
    };
    let quota = |message: &str| Some(Refusal::kimi(429, "exceeded_current_quota_error", message));
    match name {
        "rate_limit" | "concurrency" => {
            limited(format!("organization max concurrency: 1, please try again after {wait} seconds"))
        }
        "rpm" => limited(format!("organization max RPM: 3, please try again after {wait} seconds")),
        "tpm" => limited("organization TPM rate limit, current:500001, limit:500000".to_owned()),
        "tpd" => limited("organization TPD rate limit,current:1500001, limit:1500000".to_owned()),
        "balance" => quota(&format!(
            "{ACCOUNT} is suspended due to insufficient balance, please recharge your account or check your plan and billing details"
        )),
        "quota" => {
            quota("You exceeded your current token quota: org-double 1000, please check your account balance")
        }
        "not_found" => Some(not_found(model)),
        _ => {
            let (_, status, kind, message) = TABLE.iter().find(|row| row.0 == name)?;
            Some(Refusal::kimi(*status, kind, message))
        }
    }
}

/// The model gate's refusal.
pub(crate) fn not_found(model: &str) -> Refusal {
    Refusal::kimi(
        404,
        "resource_not_found_error",
        &format!("Not found the model {model} or Permission denied"),
    )
}
