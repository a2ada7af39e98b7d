//! The names of calls that the bridge has given up while the daemon may be at them: who asks the same again gets the same name, and with
//! it that call's answer instead of a second bill. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use exai_actors::clock::Instant;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Names that are remembered, at most; the oldest gives way.
const NAMES_MAX: usize = 128;
/// How long. The daemon keeps answers longer (`limits.result_ttl_h`); who asks later than this wants another one.
const NAMES_FOR: Duration = Duration::from_hours(1);

/// The name that the bridge gave a call, and what that asked.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) key: String,
    asked: [u8; 32],
}

/// What is remembered, the oldest first.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    names: VecDeque<(Instant, Name)>,
}

impl GivenUp {
    /// The name for a call: that of the oldest one that asked the same, or a new one.
    pub(super) fn name(&mut self, line: &str, draw: impl FnOnce() -> String, now: Instant) -> Name {
        self.names.retain(|(since, _)| now - *since < NAMES_FOR);
        let asked = asked(line);
        let known = self.names.iter().find(|(_, name)| name.asked == asked);
        Name { key: known.map_or_else(draw, |(_, name)| name.key.clone()), asked }
    }

    /// The call has an asker again.
    pub(super) fn forget(&mut self, name: &Name) {
        self.names.retain(|(_, known)| known.key != name.key);
    }

    pub(super) fn keep(&mut self, name: Name, now: Instant) {
        if self.names.len() >= NAMES_MAX {
            self.names.pop_front();
        }
        self.names.push_back((now, name));
    }
}

/// What tells a call from others: all that it asks with, without what is said about this one request (its id, its `_meta`).
fn asked(line: &str) -> [u8; 32] {
    let mut request = serde_json::from_str::<Value>(line).unwrap_or_default();
    let mut params = request["params"].take();
    if let Some(params) = params.as_object_mut() {
        params.remove("_meta");
    }
    Sha256::digest(params.to_string()).into()
}
