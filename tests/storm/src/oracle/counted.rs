//! What the counters tell of upstream requests: those that the doubles received, each with what it brought back.

use std::collections::BTreeMap;

use exai_upstream::Entry;

use super::upstream::answered;
use super::{Rule, Violation};

/// Upstream requests of one provider since the daemon started, by what `/metrics` says of their end.
#[derive(Debug, Default)]
pub(crate) struct UpstreamCounts(BTreeMap<String, usize>);

impl UpstreamCounts {
    /// Reads OpenMetrics text; a sample that is no whole number is none of ours.
    pub(crate) fn of(text: &str, provider: &str) -> Self {
        let mut counts = BTreeMap::new();
        let provider = format!("provider=\"{provider}\"");
        for line in text.lines().filter(|line| line.starts_with("exai_upstream_requests_total{")) {
            let status = line.split_once("status=\"").and_then(|(_, rest)| rest.split_once('"'));
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok());
            if let (true, Some((status, _)), Some(count)) = (line.contains(&provider), status, count) {
                *counts.entry(status.to_owned()).or_default() += count;
            }
        }
        Self(counts)
    }

    fn status(&self, status: &str) -> usize {
        self.0.get(status).copied().unwrap_or(0)
    }
}

/// What was received was counted. What was counted was received, but for requests whose end names nothing that came back: they may have
/// been ended before their first byte left.
pub(crate) fn counted<'a>(
    provider: &str,
    counts: &UpstreamCounts,
    entries: impl Iterator<Item = &'a Entry>,
    found: &mut Vec<Violation>,
) {
    let mut broken = |what: String| found.push(Violation::new(Rule::Counted, provider, what));
    let (mut received, mut whole) = (0, 0);
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries {
        received += 1;
        whole += usize::from(answered(entry));
        if entry.status >= 400 {
            *refused.entry(entry.status.to_string()).or_default() += 1;
        }
    }
    let total: usize = counts.0.values().sum();
    let silent = ["failed", "cancelled", "unknown", "unwritten"].map(|status| counts.status(status));
    let silent: usize = silent.iter().sum();
    if received > total {
        broken(format!("{received} requests reached the double, {total} counted"));
    }
    if total - silent.min(total) > received {
        broken(format!(
            "{} counted that brought something back, {received} reached the double",
            total - silent
        ));
    }
    if counts.status("completed") > whole {
        broken(format!(
            "{} counted as completed, {whole} answered by the double",
            counts.status("completed")
        ));
    }
    for (status, count) in &counts.0 {
        let told = refused.get(status).copied().unwrap_or(0);
        if status.starts_with(['4', '5']) && *count > told {
            broken(format!("{count} counted with {status}, {told} answered so by the double"));
        }
    }
}
