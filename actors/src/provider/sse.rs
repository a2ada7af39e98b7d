//! Decodes a server-sent event stream, however its bytes were cut on the way: bytes in, the data of each event out. It knows
//! nothing of JSON and holds no more than one event.

/// The longest line, and the most data of one event: far above any delta, far below what would hurt.
pub const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why a stream is decoded no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop<E> {
    /// An event is longer than [`EVENT_BYTES_MAX`].
    TooLong,
    /// Whoever takes the events wants no more of them.
    Refused(E),
}

/// The state between two reads (HTML living standard, "Interpreting an event stream"). `event`, `id` and `retry` mean nothing to
/// us and are dropped, like comments.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    begun: bool,
}

impl Decoder {
    /// Takes the next bytes and hands the data of every event that they complete to `each`.
    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.keep(bytes);
            };
            self.keep(&bytes[..end])?;
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_line(each)?;
        }
        Ok(())
    }

    /// Takes the end of the stream: what the last line held counts, although its end never came.
    pub fn finish<E>(&mut self, each: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), Stop<E>> {
        if !self.line.is_empty() {
            self.end_line(each)?;
        }
        self.end_event(each)
    }

    fn keep<E>(&mut self, bytes: &[u8]) -> Result<(), Stop<E>> {
        if self.line.len() + self.data.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(Stop::TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line<E>(&mut self, each: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), Stop<E>> {
        let line = self.line.as_slice();
        let line = match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if !self.begun => rest,
            Some(_) | None => line,
        };
        self.begun = true;
        if line.is_empty() {
            self.line.clear();
            return self.end_event(each);
        }
        if line.starts_with(b"{") && !self.has_data {
            // No field of the standard: a server that failed says so in its usual words, in a response that was to be a stream.
            self.data.extend_from_slice(line);
            self.has_data = true;
            self.line.clear();
            return self.end_event(each);
        }
        if let Some(value) = line.strip_prefix(b"data") {
            let value = match value.strip_prefix(b":") {
                Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
                // A line without a colon is a field without a value; `database` is another field.
                None => value.is_empty().then_some(value),
            };
            if let Some(value) = value {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
        }
        self.line.clear();
        Ok(())
    }

    fn end_event<E>(&mut self, each: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), Stop<E>> {
        if !std::mem::take(&mut self.has_data) {
            return Ok(());
        }
        let outcome = each(&self.data).map_err(Stop::Refused);
        self.data.clear();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn events(pieces: &[&[u8]]) -> Result<Vec<String>, Stop<Infallible>> {
        let mut seen = Vec::new();
        let mut each = |data: &[u8]| {
            seen.push(String::from_utf8_lossy(data).into_owned());
            Ok(())
        };
        let mut decoder = Decoder::default();
        for piece in pieces {
            decoder.push(piece, &mut each)?;
        }
        decoder.finish(&mut each)?;
        Ok(seen)
    }

    #[test]
    fn every_way_to_write_an_event_is_read() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            ("data:a\r\n\r\ndata:  b\r\n\r\n", vec!["a", " b"]),
            ("data: a\r\rdata: b\r\r", vec!["a", "b"]),
            (": comment\n\n\nevent: x\nid: 7\nretry: 9\ndata: a\n\n", vec!["a"]),
            ("data: a\ndata: b\n\n", vec!["a\nb"]),
            ("data\n\ndatabase: x\n\n", vec![""]),
            ("\u{FEFF}data: a\n\n", vec!["a"]),
            ("data: a\n\ndata: [DONE]", vec!["a", "[DONE]"]),
            ("{\"error\": 1}", vec!["{\"error\": 1}"]),
            ("data: a\n{b\n\n", vec!["a"]),
            ("", vec![]),
            ("<html></html>", vec![]),
        ] {
            assert_eq!(events(&[stream.as_bytes()]).unwrap(), expected, "{stream:?}");
        }
    }

    #[test]
    fn an_endless_line_ends_at_the_limit() {
        let piece = vec![b'x'; 1024 * 1024];
        let pieces = vec![piece.as_slice(); 9];
        assert_eq!(events(&pieces), Err(Stop::TooLong));
        let lines = "data: 0123456789\n".repeat(EVENT_BYTES_MAX / 11 + 2);
        assert_eq!(events(&[lines.as_bytes()]), Err(Stop::TooLong));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            stream in "(data: ?[a-z\u{4e2d}\u{1f600}]{0,6}|:[a-z]{0,3}|event: x|)((\r\n|\n|\r)(data: ?[a-z\u{4e2d}]{0,6}|: c|)){0,12}",
            cuts in prop::collection::vec(0usize..200, 0..12),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect::<Vec<_>>();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect::<Vec<_>>();
            prop_assert_eq!(events(&pieces), events(&[bytes]));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = events(&[&bytes]);
        }
    }
}
