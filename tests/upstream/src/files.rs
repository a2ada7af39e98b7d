//! Uploaded files, in memory, by key (A7, B7, D6): upload, list, content, delete, and the check of `ms://` references.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Make;
use crate::ask::Ask;
use crate::clock;
use crate::http::Head;
use crate::refusal::{self, Refusal};
use crate::reply::Whole;
use crate::script::Script;
use crate::text::mix;

/// Files per key, as Moonshot has it.
const FILES_MAX: usize = 1000;
/// Bytes kept in all; beyond it uploads are refused as if there were too many files.
const BYTES_MAX: usize = 512 * 1024 * 1024;

struct File {
    bytes: Vec<u8>,
    name: String,
    purpose: String,
    created: u64,
}

/// What was uploaded, by key and id.
#[derive(Default)]
pub(crate) struct Shelf {
    files: BTreeMap<(String, String), File>,
    bytes: usize,
    uploads: u64,
}

/// The parts of an upload that matter.
#[derive(Debug, Default, PartialEq)]
struct Upload {
    bytes: Option<Vec<u8>>,
    name: String,
    purpose: String,
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The value of `key="value"` or `key=value` in a header.
fn parameter(header: &str, key: &str) -> Option<String> {
    header
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.trim_matches('"').to_owned())
}

fn read_upload(content_type: &str, body: &[u8]) -> Option<Upload> {
    let delimiter = format!("--{}", parameter(content_type, "boundary")?).into_bytes();
    let mut upload = Upload::default();
    let mut rest = &body[find(body, &delimiter)? + delimiter.len()..];
    while !rest.starts_with(b"--") {
        let head_end = find(rest, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&rest[..head_end]);
        let disposition = head
            .lines()
            .find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?
            .to_owned();
        let content = &rest[head_end + 4..];
        let end = find(content, &[b"\r\n", delimiter.as_slice()].concat())?;
        match parameter(&disposition, "name").as_deref() {
            Some("file") => {
                upload.name = parameter(&disposition, "filename").unwrap_or_default();
                upload.bytes = Some(content[..end].to_vec());
            }
            Some("purpose") => upload.purpose = String::from_utf8_lossy(&content[..end]).into_owned(),
            Some(_) | None => {}
        }
        rest = &content[end + 2 + delimiter.len()..];
    }
    Some(upload)
}

fn object(make: Make, id: &str, file: &File) -> Value {
    let mut object = json!({"id": id, "object": "file", "bytes": file.bytes.len(), "created_at": file.created, "filename": file.name,
        "purpose": file.purpose});
    if make == Make::Kimi {
        object["status"] = json!("ok");
        object["status_details"] = json!("");
    }
    object
}

fn file_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("pdf") => "application/pdf",
        Some("md") => "text/markdown",
        Some("json") => "application/json",
        Some(_) | None => "text/plain",
    }
}

impl Shelf {
    /// Files kept, of all keys.
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Answers a request to `/files` and below; none if there is no such endpoint.
    pub(crate) fn answer(
        &mut self,
        make: Make,
        head: &Head,
        endpoint: &str,
        body: &[u8],
        script: &Script,
    ) -> Option<Whole> {
        let mut steps = endpoint.strip_prefix("/files")?.split('/').skip(1);
        let (id, what) = (steps.next(), steps.next());
        let replied = match (head.method.as_str(), id, what) {
            ("POST", None, None) => self.upload(make, head, body),
            ("GET", None, None) => Ok(self.list(make, head.key())),
            ("GET", Some(id), Some("content")) => self.content(make, head.key(), id),
            ("GET", Some(id), None) => {
                self.get(make, head.key(), id).map(|file| Whole::json(200, &object(make, id, file)))
            }
            ("DELETE", Some(id), None) => self.delete(make, head.key(), id),
            _ => return None,
        };
        Some(replied.unwrap_or_else(|refusal| Whole::refusal(refusal, script)))
    }

    fn upload(&mut self, make: Make, head: &Head, body: &[u8]) -> Result<Whole, Refusal> {
        let named = |name: &str| refusal::by_name(make, name, &Script::default(), "");
        let malformed = || Refusal::plain(make, 400, "Invalid request: not a multipart upload with a file");
        let upload =
            read_upload(head.header("content-type").unwrap_or_default(), body).ok_or_else(malformed)?;
        let bytes = upload.bytes.ok_or_else(malformed)?;
        let kimi = make == Make::Kimi;
        if kimi && !["file-extract", "image", "video", "batch"].contains(&upload.purpose.as_str()) {
            return Err(named("file_purpose"));
        }
        if kimi && bytes.is_empty() {
            return Err(named("file_empty"));
        }
        let key = head.key().to_owned();
        let owned = self.files.keys().filter(|(owner, _)| *owner == key).count();
        if owned >= FILES_MAX || self.bytes + bytes.len() > BYTES_MAX {
            return Err(if kimi { named("file_count") } else { Refusal::plain(make, 400, "too many files") });
        }
        self.uploads += 1;
        let id = format!("f{:016x}{:03x}", mix(0, self.uploads), self.uploads % 4096);
        let purpose = if upload.purpose.is_empty() { "user_data".to_owned() } else { upload.purpose };
        let file = File { bytes, name: upload.name, purpose, created: clock::unix_seconds() };
        let whole = Whole::json(200, &object(make, &id, &file));
        self.bytes += file.bytes.len();
        self.files.insert((key, id), file);
        Ok(whole)
    }

    fn list(&self, make: Make, key: &str) -> Whole {
        let mine = self.files.iter().filter(|((owner, _), _)| owner == key);
        let data: Vec<Value> = mine.map(|((_, id), file)| object(make, id, file)).collect();
        Whole::json(200, &json!({"object": "list", "data": data}))
    }

    fn get(&self, make: Make, key: &str, id: &str) -> Result<&File, Refusal> {
        let missing = || match make {
            Make::Kimi => Refusal::kimi(404, "resource_not_found_error", &format!("file {id} not found")),
            Make::Glm | Make::OpenAi => Refusal::plain(make, 404, &format!("file {id} not found")),
        };
        self.files.get(&(key.to_owned(), id.to_owned())).ok_or_else(missing)
    }

    /// Declared text/plain, and JSON all the same.
    fn content(&self, make: Make, key: &str, id: &str) -> Result<Whole, Refusal> {
        let file = self.get(make, key, id)?;
        if make == Make::Kimi && file.purpose != "file-extract" {
            return Err(Refusal::plain(make, 400, "content is only available for purpose file-extract"));
        }
        let body = json!({"content": String::from_utf8_lossy(&file.bytes), "file_type": file_type(&file.name), "filename": file.name,
            "title": "", "type": "file"});
        Ok(Whole::text(200, "text/plain; charset=utf-8", body.to_string()))
    }

    fn delete(&mut self, make: Make, key: &str, id: &str) -> Result<Whole, Refusal> {
        let length = self.get(make, key, id)?.bytes.len();
        self.bytes -= length;
        self.files.remove(&(key.to_owned(), id.to_owned()));
        Ok(Whole::json(200, &json!({"id": id, "object": "file", "deleted": true})))
    }

    /// Kimi: a part that names a file which is missing or was uploaded for its text.
    pub(crate) fn bad_reference(&self, make: Make, key: &str, ask: &Ask) -> Option<Refusal> {
        let bad = |id: &&str| {
            self.files
                .get(&(key.to_owned(), (*id).to_owned()))
                .is_none_or(|file| file.purpose == "file-extract")
        };
        let id = ask.references().into_iter().find(bad).filter(|_| make == Make::Kimi)?;
        Some(Refusal::plain(
            make,
            400,
            &format!("Invalid request: file {id} is not found or has the wrong purpose"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_read_whatever_its_bytes() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfile-extract\r\n--b\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf\r\n\r\n\xff\r\n-\r\n--b--\r\n";
        let upload = read_upload("multipart/form-data; boundary=b", body).unwrap();
        let wanted = Upload {
            bytes: Some(b"\xff\r\n-".to_vec()),
            name: "a.pdf".to_owned(),
            purpose: "file-extract".to_owned(),
        };
        assert_eq!(upload, wanted);
        for cut in 0..body.len() {
            let _ = read_upload("multipart/form-data; boundary=b", &body[..cut]);
        }
        assert_eq!(read_upload("multipart/form-data; boundary=", b"--"), None);
    }
}
