//! Log lines on standard error: one an event, as text or JSON, with control characters escaped so that no value can forge a line.
//! It never lets through what prints requests: rmcp not at all, foreign crates not below info, panics without their payload. Nor
//! what strangers could fill a disk with: actix's own complaints about requests and frames.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};

use env_logger::fmt::Formatter;
use exai_actors::clock;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use log::kv::{self, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};
use serde_json::{Map, json};

use crate::config::LogFormat;

/// The variable that sets levels, as everywhere in Rust.
const LEVELS: &str = "RUST_LOG";
/// The variable that sets the zone of the times, as everywhere in Unix.
const ZONE: &str = "TZ";
/// rmcp logs whole requests and results, at info too (traps, 21). The two of actix log an error for every request or frame that is
/// none, before anybody has shown a token.
const MUTED: [&str; 3] = ["rmcp", "actix_http", "actix_web"];
/// Our own crates: only they may log below info, as only we know what is in their lines.
const OURS: &str = "exai";

/// Starts logging to standard error, at `level` where `RUST_LOG` says nothing, and replaces the panic hook.
pub(crate) fn start(format: LogFormat, level: LevelFilter) -> Result<(), SetLoggerError> {
    let levels = std::env::var(LEVELS).unwrap_or_default();
    let logger = Capped::new(&levels, format, level, env_logger::Target::Stderr);
    log::set_max_level(logger.inner.filter());
    log::set_boxed_logger(Box::new(logger))?;
    panic::set_hook(Box::new(note_panic));
    Ok(())
}

/// The logger with the caps that `RUST_LOG` cannot lift.
struct Capped {
    inner: env_logger::Logger,
}

impl Capped {
    fn new(levels: &str, format: LogFormat, level: LevelFilter, target: env_logger::Target) -> Self {
        let mut builder = env_logger::Builder::new();
        builder.filter_level(level).parse_filters(levels).target(target);
        let zone = zone(std::env::var_os(ZONE).is_some());
        match format {
            LogFormat::Text => builder.format(move |out, record| text_line(out, record, &time(&zone))),
            LogFormat::Json => builder.format(move |out, record| json_line(out, record, &time(&zone))),
        };
        Self { inner: builder.build() }
    }
}

impl Log for Capped {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        allowed(metadata.target(), metadata.level()) && self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // A crate may log under another's name: the module counts too.
        let module = record.module_path().unwrap_or_else(|| record.target());
        if allowed(record.target(), record.level()) && allowed(module, record.level()) {
            self.inner.log(record);
        }
    }

    fn flush(&self) {
        self.inner.flush();
    }
}

fn allowed(name: &str, level: log::Level) -> bool {
    !MUTED.iter().any(|muted| name.starts_with(muted))
        && (level <= log::Level::Info || name.starts_with(OURS))
}

/// The zone that `TZ` names, where it is set and names one; else UTC.
fn zone(is_set: bool) -> TimeZone {
    let named = is_set.then(TimeZone::try_system).and_then(Result::ok);
    named.unwrap_or(TimeZone::UTC)
}

/// This moment in `zone`, with milliseconds and the offset.
fn time(zone: &TimeZone) -> String {
    let now = Timestamp::from_millisecond(clock::utc_now().0).unwrap_or_default();
    now.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

fn text_line(out: &mut Formatter, record: &Record<'_>, time: &str) -> io::Result<()> {
    let mut line = format!("{time} {:<5} {} ", record.level(), record.target());
    escape(&record.args().to_string(), &mut line);
    let mut fields = TextFields { line };
    // Writing to a string does not fail, and a value that cannot be shown is no reason to lose the line.
    let _ = record.key_values().visit(&mut fields);
    writeln!(out, "{}", fields.line)
}

struct TextFields {
    line: String,
}

impl<'kvs> VisitSource<'kvs> for TextFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        self.line.push(' ');
        escape(key.as_str(), &mut self.line);
        self.line.push('=');
        let value = value.to_string();
        let bare = !value.is_empty() && !value.contains([' ', '"', '=']);
        if bare {
            escape(&value, &mut self.line);
        } else {
            self.line.push('"');
            escape(&value.replace('\\', "\\\\").replace('"', "\\\""), &mut self.line);
            self.line.push('"');
        }
        Ok(())
    }
}

fn json_line(out: &mut Formatter, record: &Record<'_>, time: &str) -> io::Result<()> {
    let mut fields = JsonFields(Map::new());
    let _ = record.key_values().visit(&mut fields);
    let line = json!({
        "time": time,
        "level": record.level().as_str(),
        "target": record.target(),
        "message": record.args().to_string(),
        "fields": fields.0,
    });
    // JSON escapes the control characters of ASCII only; the others stand inside strings, where an escape is as good.
    let mut escaped = String::new();
    escape(&line.to_string(), &mut escaped);
    writeln!(out, "{escaped}")
}

struct JsonFields(Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for JsonFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let number = value.to_i64().map(Into::into).or_else(|| value.to_u64().map(Into::into));
        let number =
            number.or_else(|| value.to_f64().map(Into::into)).or_else(|| value.to_bool().map(Into::into));
        self.0.insert(key.to_string(), number.unwrap_or_else(|| value.to_string().into()));
        Ok(())
    }
}

/// Appends `text` with everything that could end the line or steer a terminal written as `\uXXXX`.
fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        let steers = matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if character.is_control() || steers {
            // Writing to a string does not fail.
            let _ = write!(into, "\\u{:04x}", u32::from(character));
        } else {
            into.push(character);
        }
    }
}

/// One line for a panic: who and where. Its payload may quote what was being worked on.
fn note_panic(panic: &PanicHookInfo<'_>) {
    let actor = exai_actors::supervised::current_actor().unwrap_or("none");
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    log::error!(actor, thread = thread.name().unwrap_or("unnamed"), place; "panicked");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use log::Level;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written when each of these targets logs at each level.
    fn written(levels: &str, format: LogFormat, records: impl FnOnce(&Capped)) -> String {
        let sink = Sink::default();
        let target = env_logger::Target::Pipe(Box::new(sink.clone()));
        records(&Capped::new(levels, format, LevelFilter::Info, target));
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn log_to(logger: &Capped, target: &str, module: &str, level: Level) {
        let text = format!("{target} in {module}");
        logger.log(
            &Record::builder()
                .args(format_args!("{text}"))
                .level(level)
                .target(target)
                .module_path(Some(module))
                .build(),
        );
    }

    #[test]
    fn no_level_makes_rmcp_speak_or_foreign_crates_babble() {
        let all =
            ["trace", "rmcp=trace", "rmcp::service=trace,exai=trace,actix_http=trace", "debug,awc=trace"];
        for levels in all {
            let lines = written(levels, LogFormat::Text, |logger| {
                for level in Level::iter() {
                    log_to(logger, "rmcp", "rmcp", level);
                    log_to(logger, "rmcp::service", "rmcp::service", level);
                    log_to(logger, "exai::mcp", "rmcp::service", level);
                    log_to(logger, "actix_http::h1::dispatcher", "actix_http::h1::dispatcher", level);
                    log_to(logger, "actix_http::ws::codec", "actix_http::ws::codec", level);
                    log_to(logger, "actix_web", "actix_web::info", level);
                }
                for level in [Level::Debug, Level::Trace] {
                    log_to(logger, "awc", "awc", level);
                    log_to(logger, "tokio_postgres", "tokio_postgres", level);
                }
            });
            assert_eq!(lines, "", "{levels}");
        }
        let lines = written("trace", LogFormat::Text, |logger| {
            log_to(logger, "exai_actors::dispatcher", "exai_actors::dispatcher", Level::Trace);
            log_to(logger, "actix_server", "actix_server", Level::Info);
        });
        assert_eq!(lines.lines().count(), 2, "{lines}");
    }

    #[test]
    fn a_value_cannot_forge_a_line() {
        let values = [("peer", "1\n2026 ERROR forged \u{1b}[2J\u{202e}\u{9b}")];
        let record = |logger: &Capped| {
            let args = format_args!("two\nlines");
            let record =
                Record::builder().args(args).level(Level::Info).target("exai").key_values(&values).build();
            logger.log(&record);
        };
        let line = written("", LogFormat::Text, record);
        assert!(
            line.ends_with(
                "INFO  exai two\\u000alines peer=\"1\\u000a2026 ERROR forged \\u001b[2J\\u202e\\u009b\"\n"
            ),
            "{line}"
        );
        let line = written("", LogFormat::Json, record);
        assert_eq!((line.lines().count(), line.chars().filter(|c| c.is_control()).count()), (1, 1), "{line}");
        let json = serde_json::from_str::<serde_json::Value>(&line).unwrap();
        assert_eq!((&json["message"], &json["fields"]["peer"]), (&json!("two\nlines"), &json!(values[0].1)));
        assert_eq!(json["time"].as_str().map(str::len), Some("2026-11-22T10:00:00.000+00:00".len()));
    }
}
