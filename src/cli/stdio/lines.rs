//! Standard input and output, each on a thread of its own, behind bounded channels: a line is read as far as it may be long, and
//! nothing but the client's lines is written.

mod outsize;

use std::io::{self, BufRead, Write};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use self::outsize::Outsize;

/// Lines that may wait in either direction.
const WAITING_MAX: usize = 16;

/// A line of the client's.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// It may be a message.
    Text(String),
    /// It is none: not UTF-8.
    Broken,
    /// It is too long, and was passed over; its id, as JSON, where it has one.
    TooLong(Option<String>),
}

/// Reads lines of at most `bytes_max` until the end of the input; then the channel ends, and `at_end` is called.
pub(super) fn read(bytes_max: usize, at_end: impl FnOnce() + Send + 'static) -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        // An input that breaks has ended.
        while let Ok(Some(line)) = next(&mut input, bytes_max) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
        drop(sender);
        at_end();
    });
    receiver
}

/// Writes lines until the channel ends or nobody reads them any more.
pub(super) fn write() -> io::Result<(mpsc::Sender<String>, JoinHandle<()>)> {
    let (sender, mut receiver) = mpsc::channel::<String>(WAITING_MAX);
    let write = move || {
        let mut output = io::stdout().lock();
        while let Some(line) = receiver.blocking_recv() {
            let written = output.write_all(line.as_bytes()).and_then(|()| output.write_all(b"\n"));
            if written.and_then(|()| output.flush()).is_err() {
                return;
            }
        }
    };
    Ok((sender, std::thread::Builder::new().spawn(write)?))
}

/// The next line that is not empty; none at the end. The last one needs no line break: what was cut off in the middle is no JSON.
fn next(input: &mut impl BufRead, bytes_max: usize) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut outsize = None::<Outsize>;
    loop {
        let piece = input.fill_buf()?;
        let at_end = piece.is_empty();
        let end = piece.iter().position(|byte| *byte == b'\n');
        let text = &piece[..end.unwrap_or(piece.len())];
        match &mut outsize {
            Some(outsize) => outsize.read(text),
            None if line.len() + text.len() > bytes_max => {
                let mut all = Outsize::default();
                all.read(&std::mem::take(&mut line));
                all.read(text);
                outsize = Some(all);
            }
            None => line.extend_from_slice(text),
        }
        let used = end.map_or(piece.len(), |end| end + 1);
        input.consume(used);
        if end.is_none() && !at_end {
            continue;
        }
        if let Some(outsize) = outsize {
            return Ok(Some(Line::TooLong(outsize.id())));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            if at_end {
                return Ok(None);
            }
            line.clear();
            continue;
        }
        return Ok(Some(String::from_utf8(line).map_or(Line::Broken, Line::Text)));
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_are_whole_or_said_to_be_none() {
        let text = b"one\n\n \r\ntwo \xc3\xa9\r\n\xff\n{\"a\":\"xxxxxxxxxxxxxxxx\",\"id\":7}\nlast\nno break";
        for capacity in [1, 3, 1000] {
            let mut input = BufReader::with_capacity(capacity, &text[..]);
            let mut lines = Vec::new();
            while let Some(line) = next(&mut input, 16).unwrap() {
                lines.push(line);
            }
            let text = |text: &str| Line::Text(text.to_owned());
            let too_long = Line::TooLong(Some("7".to_owned()));
            let last = [text("last"), text("no break")];
            assert_eq!(lines[..4], [text("one"), text("two é\r"), Line::Broken, too_long]);
            assert_eq!(lines[4..], last);
        }
    }
}
