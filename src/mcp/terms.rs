//! What a request says beside its arguments, in its `_meta`: the call's own name, and whether it may be billed again. Pure.

use exai_actors::error::{CallError, ErrorKind};
use exai_actors::ids::IdempotencyKey;
use rmcp::model::RequestMetaObject;
use serde_json::Value;

/// Where a call's own name stands.
const KEY_KEY: &str = "exai/idempotencyKey";
/// The longest such name, in characters.
const KEY_CHARS_MAX: usize = 128;
/// Where a request says that a call whose outcome nobody knows shall be sent, and billed, again.
const RETRY_UNKNOWN_KEY: &str = "exai/retryUnknown";

/// The terms of one request.
#[derive(Debug, PartialEq)]
pub(super) struct Terms {
    /// The call's own name.
    pub(super) idempotency_key: Option<IdempotencyKey>,
    /// Whether a call whose outcome nobody knows shall be sent again.
    pub(super) retry_unknown: bool,
}

impl Terms {
    /// Reads them, or says which is wrong.
    pub(super) fn read(meta: &RequestMetaObject) -> Result<Self, CallError> {
        let idempotency_key = meta.get(KEY_KEY).map(read_key).transpose()?;
        let retry_unknown = meta.get(RETRY_UNKNOWN_KEY).map(read_retry_unknown).transpose()?.unwrap_or(false);
        Ok(Self { idempotency_key, retry_unknown })
    }
}

fn read_key(value: &Value) -> Result<IdempotencyKey, CallError> {
    let key = value.as_str().filter(|key| {
        (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    key.map(IdempotencyKey::from)
        .ok_or_else(|| wrong(format!("`{KEY_KEY}` must be 1 to {KEY_CHARS_MAX} visible ASCII characters.")))
}

fn read_retry_unknown(value: &Value) -> Result<bool, CallError> {
    value.as_bool().ok_or_else(|| wrong(format!("`{RETRY_UNKNOWN_KEY}` must be true or false.")))
}

fn wrong(message: String) -> CallError {
    CallError::new(ErrorKind::InvalidArguments, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(key: &str, value: &Value) -> Result<Terms, ErrorKind> {
        let meta = serde_json::from_value(json!({ key: value })).unwrap();
        Terms::read(&meta).map_err(|error| error.kind)
    }

    #[test]
    fn an_idempotency_key_is_short_visible_ascii() {
        let longest = "k".repeat(KEY_CHARS_MAX);
        for good in ["k", "2026-11-22/a:b", &longest] {
            let terms = Terms { idempotency_key: Some(good.into()), retry_unknown: false };
            assert_eq!(read(KEY_KEY, &json!(good)), Ok(terms), "{good}");
        }
        let too_long = "k".repeat(KEY_CHARS_MAX + 1);
        for bad in
            [json!(""), json!("a b"), json!("\u{e9}"), json!("a\n"), json!(7), json!(null), json!(too_long)]
        {
            assert_eq!(read(KEY_KEY, &bad), Err(ErrorKind::InvalidArguments), "{bad}");
        }
    }

    #[test]
    fn asking_again_for_an_unknown_call_is_said_in_so_many_words() {
        for truth in [true, false] {
            let terms = Terms { idempotency_key: None, retry_unknown: truth };
            assert_eq!(read(RETRY_UNKNOWN_KEY, &json!(truth)), Ok(terms));
        }
        for bad in [json!("true"), json!(1), json!(null)] {
            assert_eq!(read(RETRY_UNKNOWN_KEY, &bad), Err(ErrorKind::InvalidArguments), "{bad}");
        }
    }
}
