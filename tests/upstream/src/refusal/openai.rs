//! The error shapes of OpenAI and of the servers that call themselves compatible (table C).

use serde_json::json;

use super::Refusal;

pub(super) fn by_name(name: &str, wait: u64, model: &str) -> Option<Refusal> {
    object(name, wait, model).or_else(|| odd(name))
}

/// Those in OpenAI's own shape.
fn object(name: &str, wait: u64, model: &str) -> Option<Refusal> {
    let request = "invalid_request_error";
    Some(match name {
        "rate_limit" | "concurrency" => Refusal::openai(
            429,
            "requests",
            Some("rate_limit_exceeded"),
            &format!(
                "Rate limit reached for {model}: Limit 3, Used 3, Requested 1. Please try again in {wait}s."
            ),
        ),
        "quota" | "balance" => Refusal::openai(
            429,
            "insufficient_quota",
            Some("insufficient_quota"),
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        "auth" => Refusal::openai(401, request, Some("invalid_api_key"), "Incorrect API key provided."),
        "permission" => Refusal::openai(
            403,
            request,
            Some("permission_denied"),
            "You do not have access to this project.",
        ),
        "not_found" => {
            let message = format!("The model `{model}` does not exist or you do not have access to it.");
            Refusal::openai(404, request, Some("model_not_found"), &message)
        }
        "too_long" => Refusal::openai(
            400,
            request,
            Some("context_length_exceeded"),
            "This model's maximum context length is 131072 tokens. However, your messages resulted in more tokens.",
        ),
        "content_filter" => Refusal::openai(
            400,
            request,
            Some("content_filter"),
            "The response was filtered due to the prompt triggering content management policy.",
        ),
        "payment" => {
            Refusal::openai(402, "unknown_error", Some("invalid_request_error"), "Insufficient Balance")
        }
        "unprocessable" => {
            Refusal::openai(422, request, None, "Failed to deserialize the JSON body into the target type")
        }
        "capacity" => Refusal::openai(
            498,
            "capacity_exceeded",
            Some("capacity_exceeded"),
            "Flex tier capacity exceeded",
        ),
        "overloaded" => Refusal::openai(529, "overloaded_error", None, "Overloaded"),
        "server_error" => Refusal::openai(
            500,
            "server_error",
            None,
            "The server had an error while processing your request.",
        ),
        "unavailable" => Refusal::openai(
            503,
            "server_error",
            None,
            "The engine is currently overloaded, please try again later",
        ),
        _ => return None,
    })
}

/// Those of other servers.
fn odd(name: &str) -> Option<Refusal> {
    Some(match name {
        "flat" => Refusal::json(
            400,
            json!({"object": "error", "message": "max_tokens is too large", "type": "BadRequestError", "param": null, "code": 400}),
        ),
        "array" => Refusal::json(
            400,
            json!([{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}]),
        ),
        "detail" => Refusal::json(
            422,
            json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 1}]}),
        ),
        "detail_text" => Refusal::json(400, json!({"detail": "Unsupported parameter"})),
        "error_text" => Refusal::json(500, json!({"error": "model runner has unexpectedly stopped"})),
        "loading" => Refusal::json(
            503,
            json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
        ),
        "tool_use_failed" => Refusal::json(
            400,
            json!({"error": {"message": "Failed to call a function.", "type": "invalid_request_error", "code": "tool_use_failed",
                "failed_generation": "<function=add{\"a\":2}>"}}),
        ),
        "raw_metadata" => Refusal::json(
            429,
            json!({"error": {"message": "Provider returned error", "code": 429,
                "metadata": {"raw": "model is temporarily rate-limited upstream", "provider_name": "Double"}}}),
        ),
        "html" => Refusal::html(502, "Bad Gateway"),
        _ => return None,
    })
}
