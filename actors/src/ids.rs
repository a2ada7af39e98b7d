//! The names of things, each in a type of its own, so that no two of them can be swapped. Must never hold a secret.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares an identifier that is a UUIDv7, written as lowercase hyphenated text (RFC 9562, section 5.7).
macro_rules! uuid_v7 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh identifier: its time is now, its 74 other bits are random.
            pub fn mint() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                match Uuid::try_parse(text) {
                    Ok(id) if id.get_version_num() == 7 => Ok(Self(id)),
                    Ok(_) | Err(_) => Err(InvalidId),
                }
            }
        }
    };
}

/// The text is not an identifier that EXAI hands out (a UUIDv7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an identifier of this server: a UUIDv7 such as 0197f2c4-9d5e-7cc1-8a6b-0f5a2f3e4d5c is expected"
)]
pub struct InvalidId;

uuid_v7! {
    /// One call of a tool that consults a model.
    CallId
}
uuid_v7! {
    /// One conversation; what clients pass as `continuation_id`.
    ConversationId
}
uuid_v7! {
    /// One client connection.
    SessionId
}

/// Declares a name: short shared text that is cheap to clone.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

name! {
    /// Who asks: the owner of conversations and calls. Derived from the token that opened the connection, never the token itself.
    Principal
}
name! {
    /// A configured provider, such as `kimi`, `glm` or any `[providers.NAME]`.
    ProviderName
}
name! {
    /// A model's id as its provider spells it, such as `kimi-k2.6`.
    ModelId
}
name! {
    /// A tool's name as MCP clients call it, such as `chat`.
    ToolName
}
name! {
    /// What a client gives as `_meta["exai/idempotencyKey"]`: the same key is the same call.
    IdempotencyKey
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_form() {
        let id = CallId::mint();
        assert_eq!(id.to_string().parse::<CallId>(), Ok(id));
    }

    #[test]
    fn ids_of_other_kinds_are_refused() {
        let version_4 = "6f1d7f3e-32a0-4d0a-9a3c-0d6f3f8f5f11";
        for text in ["", "42", version_4] {
            assert_eq!(text.parse::<ConversationId>(), Err(InvalidId), "{text}");
        }
    }
}
