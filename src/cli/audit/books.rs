//! What the counters say, what the database says, and where they differ. Pure.

use std::collections::{BTreeMap, BTreeSet};

use exai_actors::storage::rows::{Books, LIFE_LABEL};

/// The counters whose rollups are compared: those that nothing but calls moves.
const ROLLED_UP: [&str; 3] = ["exai_calls_total", "exai_upstream_requests_total", "exai_tokens_total"];

/// How calls end that failed because the database was away.
const FAILED_BY_STORAGE: &str = "failed for want of the database";

/// How calls end that a shutdown, or their lease, ended.
const LEFT: &str = "left at the shutdown";

/// The outcome of calls and requests whose end the database did not take in time.
const UNWRITTEN: &str = "unwritten";

/// What `/metrics` said is not what EXAI says.
#[derive(Debug, thiserror::Error)]
#[error("the daemon's /metrics do not name its replica; is it older than this program?")]
pub(super) struct Unreadable;

/// The samples of one scrape.
pub(super) struct Scraped(Vec<Sample>);

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scraped {
    /// Reads OpenMetrics text. Lines that are no samples are passed over.
    pub(super) fn read(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// A label of `exai_build_info`.
    pub(super) fn build(&self, label: &str) -> Option<&str> {
        self.of("exai_build_info").find_map(|sample| sample.labels.get(label)).map(String::as_str)
    }

    /// When the process started.
    #[expect(clippy::cast_possible_truncation, reason = "a time of day in milliseconds")]
    pub(super) fn started_at_ms(&self) -> Option<i64> {
        self.of("exai_process_start_time_seconds").next().map(|sample| (sample.value * 1000.0).round() as i64)
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }
}

impl Sample {
    fn label(&self, name: &str) -> String {
        self.labels.get(name).cloned().unwrap_or_default()
    }

    #[expect(clippy::cast_possible_truncation, reason = "counters of events are whole")]
    fn count(&self) -> i64 {
        self.value as i64
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, mut rest) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels = BTreeMap::new();
    while let Some((label, quoted)) = rest.trim_start_matches(',').split_once("=\"") {
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => text.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => text.push(other),
            }
        };
        labels.insert(label.to_owned(), text);
        rest = &quoted[end + 1..];
    }
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

type Counts = BTreeMap<String, i64>;

/// One line for each number that differs; none when all agree.
pub(super) fn differences(scraped: &Scraped, books: &Books) -> Vec<String> {
    let mut found = Vec::new();
    let mut calls = Counts::new();
    let (mut uncertain, mut unwritten) = (0, 0);
    for sample in scraped.of("exai_calls_total") {
        let outcome = sample.label("outcome");
        match outcome.as_str() {
            "refused_storage_unavailable" => uncertain += sample.count(),
            UNWRITTEN => unwritten += sample.count(),
            _ => {}
        }
        if let Some(state) = ending(&outcome) {
            *calls.entry(format!("{} {state}", sample.label("tool"))).or_default() += sample.count();
        }
    }
    let mut journal = Counts::new();
    for (tool, state, count) in &books.calls {
        // An open row is a call that runs, or one whose end could not be written.
        if let Some(state) = ended(state) {
            *journal.entry(format!("{tool} {state}")).or_default() += count;
        }
    }
    // A call that was refused because its first commit was not confirmed may stand all the same, with its request, as failed of that,
    // and an end that the database did not take in time is written when it is back. Whatever even that does not reach loses its lease.
    compare(&mut found, "calls", "the journal", &calls, &journal, |name| {
        let may_stand = name.ends_with(FAILED_BY_STORAGE) || name.ends_with(LEFT);
        unwritten + if may_stand { uncertain } else { 0 }
    });

    let (mut upstream, mut unwritten) = (Counts::new(), 0);
    for sample in scraped.of("exai_upstream_requests_total") {
        let status = sample.label("status");
        if status == UNWRITTEN {
            unwritten += sample.count();
        } else {
            let name = format!("{} {} {status}", sample.label("provider"), sample.label("model"));
            *upstream.entry(name).or_default() += sample.count();
        }
    }
    let mut attempts = Counts::new();
    for (provider, model, status, count) in &books.attempts {
        if status != "dispatched" {
            *attempts.entry(format!("{provider} {model} {status}")).or_default() += count;
        }
    }
    compare(&mut found, "upstream requests", "the journal", &upstream, &attempts, |name| {
        let may_stand = name.ends_with(" failed") || name.ends_with(" unknown");
        unwritten + if may_stand { uncertain } else { 0 }
    });

    let life = scraped.build(LIFE_LABEL).unwrap_or_default();
    let (mut counters, mut rollups) = (Counts::new(), Counts::new());
    for metric in ROLLED_UP {
        for sample in scraped.of(metric) {
            let mut labels = sample.labels.clone();
            labels.insert(LIFE_LABEL.to_owned(), life.to_owned());
            let labels = serde_json::to_string(&labels).unwrap_or_default();
            *counters.entry(format!("{metric} {labels}")).or_default() += sample.count();
        }
        for (_, labels, count) in books.rollups.iter().filter(|(name, ..)| name == metric) {
            *rollups.entry(format!("{metric} {labels}")).or_default() += count;
        }
    }
    compare(&mut found, "series", "the rollups", &counters, &rollups, |_| 0);
    found
}

fn compare(
    found: &mut Vec<String>,
    what: &str,
    place: &str,
    counters: &Counts,
    rows: &Counts,
    more_rows_allowed: impl Fn(&str) -> i64,
) {
    for name in counters.keys().chain(rows.keys()).collect::<BTreeSet<_>>() {
        let count = |counts: &Counts| counts.get(name).copied().unwrap_or(0);
        let (counted, stand) = (count(counters), count(rows));
        if stand < counted || stand > counted + more_rows_allowed(name) {
            found.push(format!("{what} {name}: {counted} counted, {stand} in {place}"));
        }
    }
}

/// In which state the row of a call with this outcome ends; none for calls that have no row, or one without an end.
fn ending(outcome: &str) -> Option<&'static str> {
    match outcome {
        "completed" => Some("completed"),
        "cancelled" => Some("cancelled"),
        "draining" => Some(LEFT),
        UNWRITTEN | "replayed" => None,
        "storage_unavailable" => Some(FAILED_BY_STORAGE),
        refused if refused.starts_with("refused_") => None,
        _ => Some("failed"),
    }
}

fn ended(state: &str) -> Option<&'static str> {
    match state {
        "completed" => Some("completed"),
        "cancelled" => Some("cancelled"),
        "failed" => Some("failed"),
        "failed_by_storage" => Some(FAILED_BY_STORAGE),
        "interrupted" | "unknown" => Some(LEFT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# TYPE exai_calls counter
exai_calls_total{tool="chat",provider="kimi",model="k",outcome="completed"} 3
exai_calls_total{tool="chat",provider="",model="",outcome="refused_over_capacity"} 9
exai_calls_total{tool="chat",provider="kimi",model="k",outcome="upstream_error"} 1
exai_upstream_requests_total{provider="kimi",model="k",status="completed"} 3
exai_upstream_requests_total{provider="kimi",model="k",status="500"} 3
exai_build_info{version="0.1.0",replica="a\"b",life="l"} 1.0
exai_process_start_time_seconds 1.5
# EOF
"#;

    fn books(completed: i64) -> Books {
        let row = |outcome: &str| {
            format!(r#"{{"life":"l","model":"k","outcome":"{outcome}","provider":"kimi","tool":"chat"}}"#)
        };
        let refused =
            r#"{"life":"l","model":"","outcome":"refused_over_capacity","provider":"","tool":"chat"}"#;
        let upstream =
            |status: &str| format!(r#"{{"life":"l","model":"k","provider":"kimi","status":"{status}"}}"#);
        let calls = || "exai_calls_total".to_owned();
        let requests = || "exai_upstream_requests_total".to_owned();
        Books {
            calls: vec![("chat".into(), "completed".into(), completed), ("chat".into(), "failed".into(), 1)],
            attempts: ["completed", "500"]
                .map(|status| ("kimi".into(), "k".into(), status.to_owned(), 3))
                .into(),
            rollups: vec![
                (calls(), row("completed"), 3),
                (calls(), row("upstream_error"), 1),
                (calls(), refused.to_owned(), 9),
                (requests(), upstream("completed"), 3),
                (requests(), upstream("500"), 3),
            ],
        }
    }

    #[test]
    fn a_difference_is_named_and_agreement_is_silence() {
        let scraped = Scraped::read(TEXT);
        assert_eq!((scraped.build("replica"), scraped.started_at_ms()), (Some("a\"b"), Some(1500)));
        assert_eq!(differences(&scraped, &books(3)), Vec::<String>::new());
        assert_eq!(differences(&scraped, &books(4)), ["calls chat completed: 3 counted, 4 in the journal"]);
        let away = TEXT.replace("refused_over_capacity", "refused_storage_unavailable");
        let mut uncertain = books(3);
        uncertain.rollups[2].1 = uncertain.rollups[2].1.replace("over_capacity", "storage_unavailable");
        uncertain.calls.push(("chat".into(), "failed_by_storage".into(), 9));
        assert_eq!(differences(&Scraped::read(&away), &uncertain), Vec::<String>::new());
        uncertain.calls.push(("chat".into(), "failed_by_storage".into(), 1));
        assert_eq!(differences(&Scraped::read(&away), &uncertain).len(), 1, "more than were refused");
        uncertain.calls[1].2 = 2;
        assert_eq!(differences(&Scraped::read(&away), &uncertain).len(), 2, "no other failure is excused");
        let late = TEXT.replace("refused_over_capacity", UNWRITTEN);
        let mut written = books(3);
        written.rollups[2].1 = written.rollups[2].1.replace("refused_over_capacity", UNWRITTEN);
        written.calls[1].2 = 10;
        assert_eq!(differences(&Scraped::read(&late), &written), Vec::<String>::new());
        written.calls[1].2 = 11;
        assert_eq!(differences(&Scraped::read(&late), &written).len(), 1, "more than could not be written");
    }
}
