//! What valid JSON is made of, counted byte by byte before anything is allocated for it; and whether its keys are unique. Pure.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

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

/// JSON in which no object has a key twice. Everything else takes the last one of them, and nobody would hear of the first.
pub(super) struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("objects whose keys are unique")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("a key stands there twice"));
            }
            map.next_value::<Self>()?;
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_stand_in_each_object_once() {
        let is_unique = |text| serde_json::from_str::<Unique>(text).is_ok();
        for unique in [r#"{"a":1,"b":{"a":-1.5,"c":[{"a":null},{"a":"a"}]},"d":true}"#, "7", "[]"] {
            assert!(is_unique(unique), "{unique}");
        }
        for doubled in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert!(!is_unique(doubled), "{doubled}");
        }
    }

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
