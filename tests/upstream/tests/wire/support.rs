//! A client of few words for the double's own tests: it shows the bytes as they came.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use exai_upstream::{Make, Upstream};
use serde_json::{Value, json};

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The body ended as its framing says.
    pub(crate) whole: bool,
    /// The connection was reset.
    pub(crate) reset: bool,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The payloads of `data:` lines.
    pub(crate) fn data(&self) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.map(|line| line.trim_start().to_owned()).collect()
    }

    /// The chunks, `[DONE]` left out.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        self.data()
            .iter()
            .filter(|line| *line != "[DONE]")
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// All of one delta field, joined.
    pub(crate) fn joined(&self, field: &str) -> String {
        let pointer = format!("/choices/0/delta/{field}");
        self.chunks()
            .iter()
            .filter_map(|chunk| chunk.pointer(&pointer)?.as_str().map(str::to_owned))
            .collect()
    }
}

/// What the tests measure with.
#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn model(make: Make) -> &'static str {
    match make {
        Make::Kimi => "kimi-k2.6",
        Make::Glm => "glm-4.7",
        Make::OpenAi => "any-1",
    }
}

/// A chat request of one user message.
pub(crate) fn ask(make: Make, script: &str, stream: bool) -> Value {
    let model = if script.is_empty() { model(make).to_owned() } else { format!("{}+{script}", model(make)) };
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Why is the sky blue?"}]})
}

pub(crate) fn path(upstream: &Upstream, endpoint: &str) -> String {
    let url = upstream.base_url();
    let path = url.split_once(&upstream.addr().to_string()).unwrap().1;
    format!("{path}{endpoint}")
}

pub(crate) fn raw(upstream: &Upstream, method: &str, endpoint: &str, extra: &str, body: &[u8]) -> Vec<u8> {
    let path = path(upstream, endpoint);
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer sk-test\r\n{extra}Content-Length: {}\r\n\r\n",
        upstream.addr(),
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Connects and sends a chat request.
pub(crate) fn open(upstream: &Upstream, body: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(upstream.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&raw(upstream, "POST", "/chat/completions", "", body.to_string().as_bytes())).unwrap();
    stream
}

/// Sends a chat request and reads its response.
pub(crate) fn chat(upstream: &Upstream, body: &Value) -> Response {
    read(&mut open(upstream, body))
}

pub(crate) fn send(upstream: &Upstream, method: &str, endpoint: &str, extra: &str, body: &[u8]) -> Response {
    let mut stream = TcpStream::connect(upstream.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&raw(upstream, method, endpoint, extra, body)).unwrap();
    read(&mut stream)
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Decodes what has come of a chunked body; true at its end, with the bytes used.
fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let rest = &bytes[end + 2..];
        if size == 0 {
            return (body, rest.starts_with(b"\r\n"));
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        if rest.len() < size + 2 {
            break;
        }
        bytes = &rest[size + 2..];
    }
    (body, false)
}

/// Reads one response, until its framing or the connection ends.
pub(crate) fn read(stream: &mut TcpStream) -> Response {
    let (mut bytes, mut piece, mut ended, mut reset) = (Vec::new(), [0; 65536], false, false);
    loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let status = head[9..12].parse().unwrap();
            let rest = &bytes[end + 4..];
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let (body, whole) = match length {
                Some(length) => (rest.to_vec(), rest.len() >= length.parse().unwrap()),
                None => dechunk(rest),
            };
            if whole || ended {
                return Response { status, head, body, whole, reset };
            }
        } else if ended {
            return Response { status: 0, head: String::new(), body: bytes, whole: false, reset };
        }
        match stream.read(&mut piece) {
            Ok(taken) => {
                ended = taken == 0;
                bytes.extend_from_slice(&piece[..taken]);
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                (ended, reset) = (true, true);
            }
        }
    }
}
