//! Reads what an upstream says when it refuses: status, headers and body in, a class with the wait it names out. Pure; it reads
//! the upstream's prose to classify it, and never passes a word of it on.

mod said;
mod wait;

use awc::http::header::HeaderMap;
use std::time::Duration;

pub(super) use said::{ERROR_BYTES_MAX, Said};

use super::dialect::Dialect;
use super::messages::FailureClass;
use crate::clock::UtcMillis;

/// Why an upstream call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What kind of failure.
    pub class: FailureClass,
    /// The provider's own code or type word, made of `[A-Za-z0-9_.-]` alone.
    pub code: Option<String>,
    /// How long the upstream asks us to wait.
    pub retry_after: Option<Duration>,
}

impl Cause {
    /// A cause that the upstream gave no word for.
    pub fn of(class: FailureClass) -> Self {
        Self { class, code: None, retry_after: None }
    }
}

/// Reads a response that is no answer: any status with any body, which may be an object, an array, flat, HTML or empty.
pub fn classify(dialect: Dialect, status: u16, headers: &HeaderMap, body: &[u8], now: UtcMillis) -> Cause {
    let said = Said::read(body).unwrap_or_default();
    let class = class_of(dialect, Some(status), &said);
    let retry_after = wait::from_headers(headers, now).or_else(|| wait::from_prose(&said.message, now));
    Cause { class, code: said.word(dialect), retry_after }
}

/// Reads an error object that came inside a stream, after status 200.
pub(super) fn classify_in_stream(dialect: Dialect, said: &Said, now: UtcMillis) -> Cause {
    Cause {
        class: class_of(dialect, None, said),
        code: said.word(dialect),
        retry_after: wait::from_prose(&said.message, now),
    }
}

fn class_of(dialect: Dialect, status: Option<u16>, said: &Said) -> FailureClass {
    let by_number = match dialect {
        Dialect::Glm => said.number.and_then(by_glm_code),
        Dialect::Kimi | Dialect::OpenAi => None,
    };
    by_number
        .or_else(|| said.words().find_map(|word| by_word(word, &said.message)))
        .or_else(|| by_prose(status, &said.message))
        .unwrap_or_else(|| by_status(dialect, status))
}

/// Z.AI API reference, errors. Status 429 alone says nothing there: the code decides.
fn by_glm_code(code: u32) -> Option<FailureClass> {
    Some(match code {
        1000..=1004 | 1110..=1112 | 1120 | 1121 => FailureClass::Key,
        1113 | 1304 | 1308..=1310 | 1313 | 1314 | 1316..=1321 => FailureClass::Quota,
        1211 | 1220..=1222 | 1311 => FailureClass::UnknownModel,
        1210 | 1212..=1215 | 1231 => FailureClass::Rejected,
        1261 => FailureClass::TooLong,
        1300 | 1301 => FailureClass::ContentPolicy,
        1230 | 1234 => FailureClass::Server,
        1302 | 1303 | 1305 | 1312 => FailureClass::Busy,
        _ => return None,
    })
}

/// Kimi API reference, errors; OpenAI, Azure, Gemini, Groq and llama.cpp by their own pages.
fn by_word(word: &str, message: &str) -> Option<FailureClass> {
    Some(match word {
        "content_filter" | "content_policy_violation" => FailureClass::ContentPolicy,
        // The daily limit resets the next day: for a call it is used up.
        "rate_limit_reached_error" if message.contains("TPD") => FailureClass::Quota,
        "engine_overloaded_error"
        | "rate_limit_reached_error"
        | "rate_limit_exceeded"
        | "rate_limit_error"
        | "RESOURCE_EXHAUSTED" => FailureClass::Busy,
        "exceeded_current_quota_error" | "insufficient_quota" | "billing_hard_limit_reached" => {
            FailureClass::Quota
        }
        "invalid_authentication_error"
        | "incorrect_api_key_error"
        | "permission_denied_error"
        | "invalid_api_key"
        | "authentication_error"
        | "permission_error"
        | "UNAUTHENTICATED"
        | "PERMISSION_DENIED" => FailureClass::Key,
        "resource_not_found_error" | "model_not_found" => FailureClass::UnknownModel,
        "context_length_exceeded" | "exceed_context_size_error" | "request_too_large" => {
            FailureClass::TooLong
        }
        "server_error"
        | "unexpected_output"
        | "server_unavailable"
        | "client_closed_request"
        | "internal_server_error"
        | "INTERNAL"
        | "UNAVAILABLE" => FailureClass::Server,
        _ => return None,
    })
}

/// What servers say in words alone, all of them under 400, 413 or 422.
fn by_prose(status: Option<u16>, message: &str) -> Option<FailureClass> {
    const TOO_LONG: [&str; 9] = [
        "token limit",
        "token length too long",
        "maximum context length",
        "context window",
        "context length",
        "prompt exceeds max length",
        "exceeds the maximum size",
        "total message size",
        "prompt is too long",
    ];
    const POLICY: [&str; 2] = ["considered high risk", "content management policy"];
    const KEY: [&str; 2] = ["api key not valid", "api_key_invalid"];
    if !matches!(status, None | Some(400 | 413 | 422)) || message.is_empty() {
        return None;
    }
    let message = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    if says(&TOO_LONG) {
        Some(FailureClass::TooLong)
    } else if says(&POLICY) {
        Some(FailureClass::ContentPolicy)
    } else if says(&KEY) {
        Some(FailureClass::Key)
    } else {
        None
    }
}

fn by_status(dialect: Dialect, status: Option<u16>) -> FailureClass {
    match status {
        None => FailureClass::Server,
        Some(401 | 403 | 407) => FailureClass::Key,
        Some(434) if dialect == Dialect::Glm => FailureClass::Key,
        Some(402) => FailureClass::Quota,
        Some(404 | 410) => FailureClass::UnknownModel,
        Some(408) => FailureClass::Timeout,
        Some(413) => FailureClass::TooLong,
        // 498 is Groq's word for no capacity.
        Some(429 | 498) => FailureClass::Busy,
        // 499: their own proxy gave up on their server.
        Some(409 | 499) => FailureClass::Server,
        Some(400..=498) => FailureClass::Rejected,
        // An error object under a success status.
        Some(200..=299 | 500..) => FailureClass::Server,
        // A redirect, which is never followed: it could take the key elsewhere.
        Some(_) => FailureClass::Garbage,
    }
}

#[cfg(test)]
mod tests;
