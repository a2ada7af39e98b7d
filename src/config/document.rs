//! The configuration as it is written: the file's table with the environment's variables laid over it, and who set what. It checks
//! that keys exist and values have the right kind; what the values mean is checked by the sections.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::config::error::{ConfigError, reword};
use crate::config::inputs::Inputs;
use crate::config::providers::RawProvider;
use crate::config::sections::{Alerts, Clients, Dashboard, Limits, Listen, Log, Metrics, Models};
use crate::config::sources::{Source, Sources};
use crate::config::storage::RawStorage;

/// The largest configuration file, in bytes: more is not a configuration.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What every variable of ours begins with; two underscores separate a section from its key.
const PREFIX: &str = "EXAI_";

/// The whole document.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Document {
    pub(super) listen: Listen,
    pub(super) storage: RawStorage,
    pub(super) limits: Limits,
    pub(super) providers: BTreeMap<String, RawProvider>,
    pub(super) models: Models,
    pub(super) clients: Clients,
    pub(super) dashboard: Dashboard,
    pub(super) metrics: Metrics,
    pub(super) alerts: Alerts,
    pub(super) log: Log,
}

/// The names of the document's sections.
const SECTIONS: [&str; 10] = [
    "listen",
    "storage",
    "limits",
    "providers",
    "models",
    "clients",
    "dashboard",
    "metrics",
    "alerts",
    "log",
];

impl Document {
    /// Reads the file, if there is one, and lays the variables over it.
    pub(super) fn read(inputs: &Inputs) -> Result<(Self, Sources), ConfigError> {
        let mut sources = Sources::default();
        let mut table = match inputs.config_file() {
            Some(path) => of_file(&path, &mut sources)?,
            None => Table::new(),
        };
        let mut document = deserialise(&table).map_err(|(problem, fix)| {
            // The file alone has been checked already, so this is a defect; the words of the parser are the best there is.
            ConfigError::refused(Source::Default, "exai.toml", problem, fix)
        })?;
        // The usual name first, so that it loses to EXAI's own.
        if let Some(url) = inputs.variable("DATABASE_URL")? {
            document = lay(&mut table, "storage.url", url, "DATABASE_URL", &mut sources)?;
        }
        for name in inputs.names() {
            let Some(key) = key_of(name)? else { continue };
            if let Some(value) = inputs.variable(name)? {
                document = lay(&mut table, &key, value, name, &mut sources)?;
            }
        }
        Ok((document, sources))
    }
}

fn of_file(path: &Path, sources: &mut Sources) -> Result<Table, ConfigError> {
    let unreadable = |problem: String| ConfigError::Unreadable {
        path: path.display().to_string(),
        problem,
        fix: "name a file that exists and that this user may read".to_owned(),
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(format!("{size} bytes are more than a configuration has")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let place = Places { path: path.to_owned(), text: &text };
    let parsed = DeTable::parse(&text).map_err(|error| place.syntax(&error))?;
    let mut spans = Vec::new();
    walk("", parsed.get_ref(), &mut spans);
    for (key, span) in &spans {
        sources.note(key, place.of(span.start));
    }
    if let Err(error) = toml::from_str::<Document>(&text) {
        return Err(place.refused(&error, &spans));
    }
    text.parse::<Table>().map_err(|error| place.syntax(&error))
}

/// Every key of the file by its dotted name, with where it and its value stand; inner keys after outer ones.
fn walk(prefix: &str, table: &DeTable<'_>, into: &mut Vec<(String, Range<usize>)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        into.push((key.clone(), name.span().start..value.span().end));
        if let DeValue::Table(inner) = value.get_ref() {
            walk(&key, inner, into);
        }
    }
}

/// Turns byte offsets of the file into places for people.
struct Places<'a> {
    path: PathBuf,
    text: &'a str,
}

impl Places<'_> {
    fn of(&self, offset: usize) -> Source {
        Source::File { path: self.path.clone(), line: self.line_and_column(offset).0 }
    }

    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The parser's own display quotes the line, and with it perhaps a key: only its message is used.
    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let (line, column) = self.line_and_column(error.span().map_or(0, |span| span.start));
        let problem = error.message().lines().collect::<Vec<_>>().join(", ");
        ConfigError::Syntax { path: self.path.display().to_string(), line, column, problem }
    }

    fn refused(&self, error: &toml::de::Error, keys: &[(String, Range<usize>)]) -> ConfigError {
        let offset = error.span().map_or(0, |span| span.start);
        let holding =
            keys.iter().filter(|(_, span)| span.contains(&offset)).min_by_key(|(_, span)| span.len());
        let (problem, fix) = reword(error.message());
        ConfigError::refused(
            self.of(offset),
            holding.map_or("the file", |(key, _)| key.as_str()),
            problem,
            fix,
        )
    }
}

/// The key that a variable sets; none when it is no variable of ours.
fn key_of(variable: &str) -> Result<Option<String>, ConfigError> {
    let Some(rest) = variable.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { return Ok(None) };
    if rest.contains("__") {
        return Ok(Some(rest.replace("__", ".")));
    }
    // A section's name with a single underscore is a slip of the pen. Other names are left alone: orchestrators set variables such
    // as EXAI_SERVICE_HOST for a service of this name.
    for section in SECTIONS {
        if let Some(key) = rest.strip_prefix(section).filter(|key| key.is_empty() || key.starts_with('_')) {
            let key = key.trim_start_matches('_').to_ascii_uppercase();
            let fix = match key.as_str() {
                "" => format!("set one of its keys, such as {PREFIX}{}__KEY", section.to_ascii_uppercase()),
                key => format!("write {PREFIX}{}__{key}", section.to_ascii_uppercase()),
            };
            let origin = Source::Variable(variable.to_owned());
            return Err(ConfigError::refused(
                origin,
                section,
                "two underscores separate a section from its key",
                fix,
            ));
        }
    }
    Ok(None)
}

/// Sets one key from a variable. Its text is taken as it is where the key wants text, else as TOML, else as a comma separated list.
fn lay(
    table: &mut Table,
    key: &str,
    text: &str,
    variable: &str,
    sources: &mut Sources,
) -> Result<Document, ConfigError> {
    let origin = Source::Variable(variable.to_owned());
    let list = || Value::Array(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect());
    let candidates = [Some(Value::String(text.to_owned())), literal(text), Some(list())];
    let mut complaint = None;
    for candidate in candidates.into_iter().flatten() {
        let is_list = candidate.is_array();
        let mut changed = table.clone();
        if !put(&mut changed, key, candidate) {
            let problem = "a part of this name is a value, not a section";
            return Err(ConfigError::refused(
                origin,
                key,
                problem,
                "unset the variable, or correct its name",
            ));
        }
        match deserialise(&changed) {
            Ok(document) => {
                *table = changed;
                sources.note(key, origin);
                return Ok(document);
            }
            // That a list was not wanted helps nobody who did not write one.
            Err(_) if is_list && complaint.is_some() => {}
            Err(worded) => complaint = Some(worded),
        }
    }
    let (problem, fix) = complaint.unwrap_or_default();
    Err(ConfigError::refused(origin, key, problem, fix))
}

fn literal(text: &str) -> Option<Value> {
    format!("value = {text}").parse::<Table>().ok()?.remove("value")
}

fn put(table: &mut Table, key: &str, value: Value) -> bool {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
            true
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            inner.as_table_mut().is_some_and(|inner| put(inner, rest, value))
        }
    }
}

fn deserialise(table: &Table) -> Result<Document, (String, String)> {
    Document::deserialize(Value::Table(table.clone())).map_err(|error| reword(error.message()))
}
