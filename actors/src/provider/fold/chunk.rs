//! One chunk of a stream, in the words of every make. What is not read is not named here: unknown fields are skipped.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::models::Usage;

#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) model: Option<Cow<'a, str>>,
    /// The first of them. A list of them would cost a hundred times its bytes.
    #[serde(borrow, default, rename = "choices", deserialize_with = "first")]
    pub(super) choice: Option<Choice<'a>>,
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) x_groq: Option<Groq<'a>>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<Cow<'a, str>>,
    /// Kimi puts the usage here.
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Delta<'a> {
    /// Text, or parts as Mistral sends them; of one that thinks nothing.
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Groq<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize, Clone, Copy)]
struct RawUsage {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
    /// Kimi says it here and in the details.
    #[serde(default)]
    cached_tokens: Option<u32>,
    /// DeepSeek's word.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u32>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize, Clone, Copy)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

#[derive(Deserialize, Clone, Copy)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u32>,
}

/// The usage wherever it stands: top level, else the choice, else Groq's own place. One that counts no tokens is none: no answer is lost
/// for it.
pub(super) fn usage_in(
    top: Option<&RawValue>,
    groq: Option<Groq<'_>>,
    choice: Option<&Choice<'_>>,
) -> Option<Usage> {
    let told = top.or_else(|| choice?.usage).or_else(|| groq?.usage)?;
    serde_json::from_str::<RawUsage>(told.get()).ok().map(|raw| Usage {
        prompt: raw.prompt_tokens.unwrap_or(0),
        cached: raw
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens)
            .or(raw.cached_tokens)
            .or(raw.prompt_cache_hit_tokens)
            .unwrap_or(0),
        completion: raw.completion_tokens.unwrap_or(0),
        reasoning: raw.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0),
    })
}

impl Chunk<'_> {
    /// Whether it is an error without `error` around it: vLLM's `{"object": "error", ..}` with `[DONE]` behind it, or the data of an
    /// `event: error`. No make has a message with a code beside its choices.
    pub(super) fn is_flat_error(&self) -> bool {
        let is_text = |value: &RawValue| value.get().starts_with('"');
        self.object.is_some_and(|object| object.get() == "\"error\"")
            || self.choice.is_none() && self.code.is_some() && self.message.is_some_and(is_text)
    }
}

impl Choice<'_> {
    /// Which of the answers it belongs to.
    pub(super) fn index(&self) -> u64 {
        self.index.and_then(|index| index.get().parse().ok()).unwrap_or(0)
    }
}

impl Delta<'_> {
    /// Roughly how much reasoning it carries, if any; an empty text closes the phase and carries none.
    pub(super) fn reasoning_bytes(&self) -> Option<usize> {
        let raw = self.reasoning_content.or(self.reasoning).or(self.reasoning_text)?.get();
        (raw != "\"\"").then_some(raw.len())
    }

    /// How many bytes of calls of tools it carries, if any.
    pub(super) fn tool_call_bytes(&self) -> Option<usize> {
        let raw = self.tool_calls?.get();
        (raw != "[]").then_some(raw.len())
    }
}

/// The payload with U+FFFD in place of every half of a character: servers cut text between two bytes, or between two units of UTF-16, and
/// no answer is lost for that. None where it has no such half.
pub(super) fn made_whole(payload: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(payload);
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut whole, mut kept, mut at) = (String::with_capacity(text.len()), 0, 0);
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        let pairs = |low: Option<u16>| low.is_some_and(|low| matches!(low, 0xDC00..=0xDFFF));
        at += match unit(at) {
            Some(0xD800..=0xDBFF) if pairs(unit(at + 6)) => 12,
            Some(0xD800..=0xDFFF) => {
                whole.push_str(&text[kept..at]);
                whole.push('\u{FFFD}');
                kept = at + 6;
                6
            }
            Some(_) => 6,
            None => 2,
        };
    }
    whole.push_str(&text[kept..]);
    (whole.as_bytes() != payload).then_some(whole)
}

/// The first of a list, and none of an empty one or of null. The others are skipped, and take no memory.
fn first<'de, D: Deserializer<'de>, T: Deserialize<'de>>(list: D) -> Result<Option<T>, D::Error> {
    struct First<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for First<T> {
        type Value = Option<T>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a list")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let first = list.next_element()?;
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }
    list.deserialize_any(First(PhantomData))
}

/// Text as it is, or that of all parts of a list.
fn text<'de, D: Deserializer<'de>>(content: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow, default)]
        text: Option<Cow<'a, str>>,
    }
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Option<Cow<'de, str>>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("text, or a list of parts")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Borrowed(text)))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(Cow::Owned(text.to_owned())))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
            let mut whole = String::new();
            while let Some(part) = parts.next_element::<Part<'de>>()? {
                whole.push_str(&part.text.unwrap_or_default());
            }
            Ok(Some(Cow::Owned(whole)))
        }
    }
    content.deserialize_any(Text)
}
