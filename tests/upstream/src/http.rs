//! Reads one HTTP/1.1 request, bounded in every direction. What it refuses is a value; it never panics on what a client sends.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use crate::conn::Conn;

/// The longest request head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most header lines.
const HEADERS_MAX: usize = 128;
/// The longest request body.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest line that announces a chunk, and the longest trailer.
const CHUNK_LINE_BYTES_MAX: usize = 4096;
/// How long a connection may idle, or take over a head or a body.
const READ_WAIT_MAX: Duration = Duration::from_secs(120);

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// A request head; header names are in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// Closed or silent between two requests.
    Idle,
    /// Closed or silent in the middle of one.
    Gone,
    /// Not HTTP/1.x as we accept it.
    Malformed,
    /// A head or body beyond the limits.
    TooLarge,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The key of `Authorization: Bearer` or of Azure's `api-key`; empty if none.
    pub(crate) fn key(&self) -> &str {
        let bearer = self.header("authorization").and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
        bearer.or_else(|| self.header("api-key")).unwrap_or_default()
    }
}

async fn more(conn: &mut Conn) -> Result<(), ReadError> {
    match tokio::time::timeout(READ_WAIT_MAX, conn.fill()).await {
        Ok(Ok(taken)) if taken > 0 => Ok(()),
        Ok(_) | Err(_) => Err(ReadError::Gone),
    }
}

/// Reads a head.
pub(crate) async fn read_head(conn: &mut Conn) -> Result<Head, ReadError> {
    loop {
        if let Some((head, used)) = parse_head(&conn.buf)? {
            conn.buf.advance(used);
            return Ok(head);
        }
        if conn.buf.len() > HEAD_BYTES_MAX {
            return Err(ReadError::TooLarge);
        }
        let idle = conn.buf.is_empty();
        more(conn).await.map_err(|error| if idle { ReadError::Idle } else { error })?;
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, ReadError> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut lines);
    let used = match request.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ReadError::TooLarge),
        Err(_) => return Err(ReadError::Malformed),
    };
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|line| (line.name.to_ascii_lowercase(), String::from_utf8_lossy(line.value).trim().to_owned()))
        .collect();
    let target = request.path.unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let method = request.method.unwrap_or_default().to_owned();
    let framing = framing(&headers)?;
    let asked =
        headers.iter().find(|(name, _)| name == "connection").map(|(_, value)| value.to_ascii_lowercase());
    let keep_alive = match asked {
        Some(value) if value.contains("close") => false,
        Some(value) if value.contains("keep-alive") => true,
        Some(_) | None => request.version == Some(1),
    };
    Ok(Some((Head { method, path, headers, framing, keep_alive }, used)))
}

/// A head that frames its body twice is refused: that is how requests are smuggled.
fn framing(headers: &[(String, String)]) -> Result<Framing, ReadError> {
    let of = |wanted: &str| {
        headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    match (of("transfer-encoding").as_slice(), of("content-length").as_slice()) {
        ([], []) => Ok(Framing::Length(0)),
        ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => length
            .parse()
            .map(Framing::Length)
            .map_err(|_| if length.is_empty() { ReadError::Malformed } else { ReadError::TooLarge }),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err(ReadError::Malformed),
    }
}

/// Reads the body that the framing announces.
pub(crate) async fn read_body(conn: &mut Conn, framing: Framing) -> Result<Bytes, ReadError> {
    match framing {
        Framing::Length(length) if length > BODY_BYTES_MAX => Err(ReadError::TooLarge),
        Framing::Length(length) => {
            while conn.buf.len() < length {
                more(conn).await?;
            }
            Ok(conn.buf.split_to(length).freeze())
        }
        Framing::Chunked => read_chunked(conn).await,
    }
}

async fn read_chunked(conn: &mut Conn) -> Result<Bytes, ReadError> {
    let mut body = BytesMut::new();
    loop {
        let (line, size) = loop {
            match httparse::parse_chunk_size(&conn.buf) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) if conn.buf.len() > CHUNK_LINE_BYTES_MAX => {
                    return Err(ReadError::Malformed);
                }
                Ok(httparse::Status::Partial) => more(conn).await?,
                Err(_) => return Err(ReadError::Malformed),
            }
        };
        conn.buf.advance(line);
        let size = usize::try_from(size).map_err(|_| ReadError::TooLarge)?;
        if size == 0 {
            skip_trailers(conn).await?;
            return Ok(body.freeze());
        }
        if size > BODY_BYTES_MAX - body.len() {
            return Err(ReadError::TooLarge);
        }
        while conn.buf.len() < size + 2 {
            more(conn).await?;
        }
        body.extend_from_slice(&conn.buf[..size]);
        if &conn.buf[size..size + 2] != b"\r\n" {
            return Err(ReadError::Malformed);
        }
        conn.buf.advance(size + 2);
    }
}

async fn skip_trailers(conn: &mut Conn) -> Result<(), ReadError> {
    let mut skipped = 0;
    loop {
        if let Some(end) = conn.buf.iter().position(|byte| *byte == b'\n') {
            let blank = conn.buf[..end].iter().all(|byte| *byte == b'\r');
            conn.buf.advance(end + 1);
            skipped += end + 1;
            if blank {
                return Ok(());
            }
        } else if conn.buf.len() > CHUNK_LINE_BYTES_MAX {
            return Err(ReadError::TooLarge);
        } else {
            more(conn).await?;
        }
        if skipped > CHUNK_LINE_BYTES_MAX {
            return Err(ReadError::TooLarge);
        }
    }
}
