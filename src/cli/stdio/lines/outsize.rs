//! A message that is too long to keep: its id is found while it passes, so that whoever asked is answered. Pure.

/// The longest id that is given back, in bytes.
const ID_BYTES_MAX: usize = 1024;

/// What was seen of the message so far.
#[derive(Debug, Default)]
pub(super) struct Outsize {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// Whether the next text on the top level is a key, and whether the value that comes belongs to the id.
    is_key: bool,
    of_id: bool,
    /// The text or number of the top level that is being read.
    piece: Vec<u8>,
    id: Option<Vec<u8>>,
}

impl Outsize {
    /// Looks at the next bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.look(*byte);
        }
    }

    /// The id, as JSON, where it is text or an integer.
    pub(super) fn id(self) -> Option<String> {
        let value = serde_json::from_slice::<serde_json::Value>(&self.id?).ok()?;
        (value.is_string() || value.is_i64()).then(|| value.to_string())
    }

    fn look(&mut self, byte: u8) {
        let is_structure =
            matches!(byte, b',' | b':' | b'{' | b'[' | b'}' | b']') || byte.is_ascii_whitespace();
        if self.depth == 1 && (self.in_text || !is_structure) && self.piece.len() < ID_BYTES_MAX {
            self.piece.push(byte);
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_text => self.escaped = true,
            b'"' => self.in_text = !self.in_text,
            _ if self.in_text => {}
            b'{' | b'[' => {
                self.depth += 1;
                self.piece.clear();
                self.is_key = self.depth == 1;
                if self.depth == 2 {
                    self.of_id = false;
                }
            }
            b'}' | b']' => {
                self.end_of_value();
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 => {
                self.of_id = self.is_key && self.piece == b"\"id\"";
                self.is_key = false;
                self.piece.clear();
            }
            b',' => self.end_of_value(),
            _ => {}
        }
    }

    fn end_of_value(&mut self) {
        if self.depth != 1 {
            return;
        }
        let piece = std::mem::take(&mut self.piece);
        if std::mem::take(&mut self.of_id) && self.id.is_none() {
            self.id = Some(piece);
        }
        self.is_key = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        let id = |text: &str| {
            let mut outsize = Outsize::default();
            outsize.read(text.as_bytes());
            outsize.id()
        };
        assert_eq!(id(r#"{"id": 7 ,"params":{"id":8}}"#).as_deref(), Some("7"));
        assert_eq!(
            id(r#"{"params":{"id":8,"a":["id",{"id":1}]},"b":"\"id\":9","id":"x,}\""}"#).as_deref(),
            Some(r#""x,}\"""#)
        );
        assert_eq!(id(r#"{"method":"id","params":{"x":"id"}}"#), None);
        assert_eq!(id(r#"{"id":{"id":1}}"#), None);
        assert_eq!(id(r#"{"id":1.5}"#), None);
        assert_eq!(id("id\": 1, \"id\""), None);
    }
}
