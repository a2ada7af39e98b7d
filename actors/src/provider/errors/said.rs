//! What an error body says, whichever of the known shapes it has.

use serde_json::Value;

use crate::provider::dialect::Dialect;

/// The longest error that is read: as a tree of values it takes thirty times its bytes.
pub(in crate::provider) const ERROR_BYTES_MAX: usize = 64 * 1024;
/// The longest code word that is passed on.
const WORD_BYTES_MAX: usize = 64;

/// An error body's facts. The message is for classifying alone.
#[derive(Debug, Default)]
pub(in crate::provider) struct Said {
    /// `code` as a word.
    code: Option<String>,
    /// `code` as a number, written as one or as text (Z.ai does both).
    pub(super) number: Option<u32>,
    /// `type`.
    kind: Option<String>,
    /// `status`, a word at Google.
    status: Option<String>,
    /// The prose.
    pub(super) message: String,
}

impl Said {
    /// Reads a body, or nothing where it is not JSON or no error.
    pub(in crate::provider) fn read(body: &[u8]) -> Option<Self> {
        let value = tree(body)?;
        let value = match &value {
            // Google answers an array of one.
            Value::Array(items) => items.first()?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => &value,
        };
        Self::of(value)
    }

    /// Reads `{"error": {..}}`, `{"error": ".."}`, the flat `{"object": "error", ..}` of old vLLM, and `{"detail": ..}`.
    pub(in crate::provider) fn of(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        match fields.get("error") {
            Some(Value::String(message)) => {
                return Some(Self { message: message.clone(), ..Self::default() });
            }
            Some(error @ Value::Object(_)) => return Some(Self::of_fields(error)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => {}
        }
        if let Some(detail) = fields.get("detail") {
            let first = detail.get(0).unwrap_or(detail);
            let message = first.get("msg").unwrap_or(first).as_str().unwrap_or_default().to_owned();
            return Some(Self { message, ..Self::default() });
        }
        (fields.contains_key("message") || fields.contains_key("code")).then(|| Self::of_fields(value))
    }

    /// Reads the error itself: an object, or bare words.
    pub(in crate::provider) fn read_fields(error: &str) -> Self {
        tree(error.as_bytes()).map(|error| Self::of_fields(&error)).unwrap_or_default()
    }

    fn of_fields(error: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str);
        let number = match error.get("code") {
            Some(Value::Number(code)) => code.as_u64().and_then(|code| u32::try_from(code).ok()),
            Some(Value::String(code)) => code.parse().ok(),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
        };
        Self {
            code: text("code").and_then(word),
            number,
            kind: text("type").and_then(word),
            status: text("status").and_then(word),
            message: error.as_str().or_else(|| text("message")).unwrap_or_default().to_owned(),
        }
    }

    /// The words to classify by, the narrowest first.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        [&self.code, &self.kind, &self.status].into_iter().filter_map(|word| word.as_deref())
    }

    /// The word to pass on.
    pub(super) fn word(&self, dialect: Dialect) -> Option<String> {
        let number = self.number.map(|number| number.to_string());
        match dialect {
            Dialect::Glm => number.or_else(|| self.words().next().map(str::to_owned)),
            Dialect::Kimi | Dialect::OpenAi => self.words().next().map(str::to_owned).or(number),
        }
    }
}

fn tree(json: &[u8]) -> Option<Value> {
    if json.len() > ERROR_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// The text if it is a code word; anything else could be prose, and prose could quote the prompt.
fn word(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let is_word = !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.bytes().all(plain);
    is_word.then(|| text.to_owned())
}
