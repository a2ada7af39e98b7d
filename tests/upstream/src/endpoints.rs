//! The endpoints beside chat, in small versions: lists, balance, token counts, files, stand-alone search.

use serde_json::{Value, json};

use crate::Make;
use crate::ask::Ask;
use crate::http::Head;
use crate::models;
use crate::refusal::Refusal;
use crate::reply::Whole;
use crate::script::Script;
use crate::server::Shared;

/// Answers it, or says 404.
pub(crate) fn answer(shared: &Shared, head: &Head, endpoint: &str, body: &[u8], script: &Script) -> Whole {
    let make = shared.make;
    if let Some(whole) = shared.files.lock().answer(make, head, endpoint, body, script) {
        return whole;
    }
    match (make, head.method.as_str(), endpoint) {
        (_, "GET", "/models") => Whole::json(200, &models::list(make)),
        (Make::Kimi, "GET", "/users/me/balance") => Whole::json(
            200,
            &json!({"code": 0, "data": {"available_balance": 49.58894, "voucher_balance": 46.58893, "cash_balance": 3.00001},
                "scode": "0x0", "status": true}),
        ),
        (Make::Kimi, "POST", "/tokenizers/estimate-token-count") => {
            Whole::json(200, &json!({"data": {"total_tokens": count(body)}}))
        }
        (Make::Glm, "POST", "/tokenizer") => Whole::json(
            200,
            &json!({"id": "double", "request_id": "double", "usage": {"prompt_tokens": count(body), "image_tokens": 0, "video_tokens": 0,
                "total_tokens": count(body)}}),
        ),
        (Make::Kimi, "POST", "/tools/search" | "/tools/search_pro") => Whole::json(
            200,
            &json!({"search_results": [{"authority": 1, "date": "2026-11-01", "icon": "", "mime": "text/html", "site_name": "e.x",
                "snippet": "c", "text": "c", "title": "t", "url": "https://e.x/1"}]}),
        ),
        (Make::Glm, "POST", "/web_search") => Whole::json(
            200,
            &json!({"id": "double", "created": 1, "search_result": [{"title": "t", "content": "c", "link": "https://e.x/1", "media": "m",
                "icon": "", "refer": "ref_1", "publish_date": "2026-11-01"}]}),
        ),
        (Make::Glm, "POST", "/reader") => Whole::json(
            200,
            &json!({"id": "double", "created": 1, "reader_result": {"content": "c", "title": "t", "description": "d", "url": "https://e.x/1"}}),
        ),
        _ => Whole::refusal(Refusal::plain(make, 404, "no such path on the upstream double"), script),
    }
}

/// Agrees with the `prompt_tokens` that a chat of these messages is billed.
fn count(body: &[u8]) -> Value {
    Ask::read(body).map_or(Value::Null, |ask| Value::from(ask.prompt_tokens()))
}
