//! Cuts a long text into pages that a client takes, measured as the client gets them: as text inside JSON. Joined they are the text,
//! byte for byte; pure, and the same for the same text.

use std::fmt::Write;

use super::tokens::estimate;

/// Tokens are counted in steps of this many bytes: one pass over the text, however long it is.
const STEP_BYTES: usize = 512;
/// Bytes inside JSON that a page may have for each token: what plain English has, so that clients that count characters take it too.
const TOKEN_BYTES_MAX: usize = 4;
/// A page ends with a line where one ends within so many bytes of its end.
const LINE_WITHIN_BYTES: usize = 2048;
/// A control character inside JSON: `\u` and four digits.
const ESCAPE_BYTES: usize = 6;

/// The pages of a text, of about `tokens_max` tokens each at most; an empty text is one empty page.
pub fn pages(text: &str, tokens_max: u32) -> Vec<&str> {
    let mut pages = Vec::new();
    let mut rest = text;
    while !rest.is_empty() || pages.is_empty() {
        let (page, after) = rest.split_at(beginning(rest, tokens_max));
        pages.push(page);
        rest = after;
    }
    pages
}

/// Where the first page of a text ends, in bytes; between two characters.
pub fn beginning(text: &str, tokens_max: u32) -> usize {
    let bytes_max = usize::try_from(tokens_max).unwrap_or(usize::MAX).saturating_mul(TOKEN_BYTES_MAX);
    let (mut end, mut tokens, mut bytes) = (0, 0u32, 0);
    while end < text.len() {
        let next = text.floor_char_boundary(end + STEP_BYTES);
        let step = &text[end..next];
        tokens = tokens.saturating_add(tokens_in_json(step));
        bytes += bytes_in_json(step);
        // One step is taken whatever the limit: a page that is empty would never end.
        if end > 0 && (tokens > tokens_max || bytes > bytes_max) {
            break;
        }
        end = next;
    }
    if end == text.len() {
        return end;
    }
    let line_end = text[..end].rfind('\n').map_or(0, |at| at + 1);
    if line_end > 0 && end - line_end <= LINE_WITHIN_BYTES { line_end } else { end }
}

/// About how many tokens a text is to a client, who may count them inside JSON: line ends and quotes cost there what they cost outside,
/// other control characters several times as much.
pub fn tokens_in_json(text: &str) -> u32 {
    let is_spelt = |c: char| escaped_bytes(c) == ESCAPE_BYTES;
    if !text.contains(is_spelt) {
        return estimate(text);
    }
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        if is_spelt(c) {
            // Writing to a String cannot fail.
            let _ = write!(written, "\\u{:04x}", u32::from(c));
        } else {
            written.push(c);
        }
    }
    estimate(&written)
}

/// How long a text is inside JSON (RFC 8259, section 7), without the quotes around it.
fn bytes_in_json(text: &str) -> usize {
    text.chars().map(escaped_bytes).sum()
}

fn escaped_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => ESCAPE_BYTES,
        plain => plain.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_is_no_longer_than_its_limit_for_a_real_tokenizer() {
        let real = tiktoken_rs::o200k_base_singleton();
        let texts = [
            include_str!("catalogue.rs").repeat(20),
            "A circuit breaker protects a caller from a host that does not answer. ".repeat(4000),
            "\u{4eba}\u{5de5}\u{667a}\u{80fd}\u{662f}\u{8ba1}\u{7b97}\u{673a}\u{79d1}\u{5b66}\u{3002}"
                .repeat(6000),
            "\u{1f600}\u{1f680} ".repeat(30_000),
        ];
        for text in texts {
            let pages = pages(&text, 20_000);
            assert!(pages.len() > 1 && pages.concat() == text);
            for page in pages {
                let tokens = real.encode_ordinary(page).len();
                assert!(tokens <= 25_000, "{tokens}");
            }
        }
    }

    #[test]
    fn control_characters_are_counted_as_a_client_gets_them() {
        let real = tiktoken_rs::o200k_base_singleton();
        for text in
            ["\u{1}".repeat(40_000), "\u{1b}[0m\u{0}\u{7}ok ".repeat(6_000), "\u{2}\"\n".repeat(15_000)]
        {
            let pages = pages(&text, 20_000);
            assert!(pages.len() > 1 && pages.concat() == text);
            for page in pages {
                let written = serde_json::to_string(page).unwrap();
                let tokens = real.encode_ordinary(&written).len();
                assert!(tokens <= 25_000 && written.len() <= 80_002, "{tokens} {}", written.len());
            }
        }
    }

    #[test]
    fn pages_end_with_lines_and_short_texts_are_one_page() {
        let text = "0123456789abcdef\n".repeat(1000);
        let pages = pages(&text, 500);
        assert!(pages.len() > 5 && pages.iter().all(|page| page.ends_with('\n')), "{}", pages.len());
        assert_eq!(super::pages("", 10), [""]);
        assert_eq!(super::pages("short", 10), ["short"]);
    }

    proptest! {
        #[test]
        fn joined_they_are_the_text(text in "(?s).{0,3000}", tokens_max in 0u32..2000) {
            let pages = pages(&text, tokens_max);
            prop_assert_eq!(pages.concat(), text.clone());
            prop_assert!(pages.iter().all(|page| !page.is_empty()) || text.is_empty());
        }

        /// Whatever is in it, from a limit on that one step of the dearest characters keeps: a page is no less.
        #[test]
        fn a_page_keeps_within_its_limit_inside_json(
            text in "([\u{0}-\u{1f}\"\\\\]{0,40}.{0,40}){0,60}",
            tokens_max in 800u32..2000,
        ) {
            for page in pages(&text, tokens_max) {
                let written = serde_json::to_string(page).unwrap();
                prop_assert_eq!(written.len() - 2, bytes_in_json(page));
                prop_assert!(written.len() - 2 <= 4 * usize::try_from(tokens_max).unwrap());
            }
        }
    }
}
