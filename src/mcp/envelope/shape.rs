//! What valid JSON is made of, counted byte by byte before anything is allocated for it. Pure.

/// How deep and how numerous.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// How deeply arrays and objects are nested. Neither `RawValue` nor `IgnoredAny` counts.
    pub(super) depth: usize,
    /// Values and keys, give or take the ends of lists: every one but the first stands behind a comma, a colon or a bracket.
    pub(super) values: usize,
}

impl Shape {
    /// Measures valid JSON; any other text has some shape too.
    pub(super) fn of(text: &str) -> Self {
        let mut shape = Self::default();
        let mut depth = 0usize;
        let (mut in_text, mut escaped) = (false, false);
        for byte in text.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                _ if in_text => {}
                b'[' | b'{' => {
                    depth += 1;
                    shape.depth = shape.depth.max(depth);
                    shape.values += 1;
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' | b':' => shape.values += 1,
                _ => {}
            }
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_text_is_not_counted() {
        let cases = [
            ("17", 0, 0),
            ("[]", 1, 1),
            ("[0,0,0]", 1, 3),
            (r#"{"a":[{"b":1}],"c":2}"#, 3, 7),
            (r#"{"a":",:[{\",[\\"}"#, 1, 2),
        ];
        for (text, depth, values) in cases {
            assert_eq!(Shape::of(text), Shape { depth, values }, "{text}");
        }
    }
}
