//! Text as both databases can keep it. Must change nothing but what one of them cannot hold.

use std::borrow::Cow;

/// The text without NUL characters, which Postgres refuses in any text: each becomes U+FFFD. A model that writes one must not
/// cost its caller the answer.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nul_is_replaced() {
        assert_eq!(storable("a\0b"), "a\u{FFFD}b");
        assert!(matches!(storable("grüße\n"), Cow::Borrowed("grüße\n")));
    }
}
