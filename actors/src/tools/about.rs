//! `listmodels`, `status` and `version`: what the server is and how it is. They ask no model.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::breakers::{self, Standings};
use super::{Definition, ToolAnswer};
use crate::clock::{self, Instant};
use crate::dispatcher::messages::Load;
use crate::error::CallError;
use crate::events;
use crate::health::HealthBoard;
use crate::ids::ProviderName;
use crate::metrics::Sums;
use crate::models::{CurrentCatalogue, Model, Thinking};

pub(super) const LIST_MODELS: &str = "listmodels";
pub(super) const STATUS: &str = "status";
pub(super) const VERSION: &str = "version";

/// Models that one `listmodels` tells of; a provider of hundreds is searched with `filter`.
const LISTED_MAX: usize = 60;
/// Characters of a filter.
const FILTER_CHARS_MAX: usize = 128;
/// How soon the database may be there again.
pub(super) const DATABASE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What these tools tell of.
#[derive(Debug, Clone)]
pub struct About {
    /// The server's version.
    pub version: &'static str,
    /// When the process started.
    pub started: Instant,
    /// Which models there are.
    pub catalogue: CurrentCatalogue,
    /// The model of callers who name none.
    pub default_model: String,
    /// Providers that are known and not in use, and why.
    pub left_out: BTreeMap<ProviderName, String>,
    /// How the parts are.
    pub board: HealthBoard,
}

/// The object of a `json!({..})`.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

pub(super) fn definitions() -> [Definition; 3] {
    let none = || object(json!({ "type": "object", "properties": {}, "additionalProperties": false }));
    let definition = |name, title, description| Definition {
        name,
        title,
        description,
        input_schema: none(),
        read_only: true,
        open_world: false,
    };
    let filter = json!({ "type": "string", "description": "Part of a model's or provider's name." });
    let filtered =
        json!({ "type": "object", "properties": { "filter": filter }, "additionalProperties": false });
    let list = definition(
        LIST_MODELS,
        "List models",
        "List the models that can be asked: ids, aliases, context, price.",
    );
    [
        Definition { input_schema: object(filtered), ..list },
        definition(
            STATUS,
            "Server status",
            "Show how the server is: providers, calls in flight, limits, counters.",
        ),
        definition(VERSION, "Server version", "Show the server's version and uptime."),
    ]
}

pub(super) fn parse_none(tool: &'static str, arguments: Map<String, Value>) -> Result<(), CallError> {
    Arguments::new(tool, arguments).finish(&[])
}

/// What the names of the wanted models hold; empty for all of them.
pub(super) fn parse_filter(arguments: Map<String, Value>) -> Result<String, CallError> {
    let mut given = Arguments::new(LIST_MODELS, arguments);
    let filter = given.text("filter", FILTER_CHARS_MAX)?.unwrap_or_default();
    given.finish(&["filter"])?;
    Ok(filter)
}

impl About {
    pub(super) fn list_models(&self, filter: &str) -> ToolAnswer {
        let mut text = String::new();
        let found = self.found(filter);
        for model in found.iter().take(LISTED_MAX) {
            let _ = writeln!(text, "{}", line(model));
        }
        if found.len() > LISTED_MAX {
            let _ = writeln!(text, "({} more; narrow them with `filter`)", found.len() - LISTED_MAX);
        }
        for (provider, reason) in &self.left_out {
            let _ = writeln!(text, "({provider} is not in use: {reason})");
        }
        let _ = write!(text, "Default: {}", self.default_model);
        ToolAnswer { text, receipt: None, structured: Some(self.facts_of_models(filter, LISTED_MAX)) }
    }

    /// The models whose names hold `filter`, for programs: at most `count_max`, and how many there are beyond.
    pub(super) fn facts_of_models(&self, filter: &str, count_max: usize) -> Value {
        let found = self.found(filter);
        let models: Vec<Value> = found.iter().take(count_max).map(|model| facts(model)).collect();
        let more = found.len().saturating_sub(count_max);
        json!({ "models": models, "more": more, "default": self.default_model })
    }

    fn found(&self, filter: &str) -> Vec<Arc<Model>> {
        let filter = filter.trim().to_ascii_lowercase();
        let holds = |name: &str| name.to_ascii_lowercase().contains(&filter);
        let catalogue = self.catalogue.get();
        let found = catalogue.models().iter().filter(|model| {
            let full_name = format!("{}/{}", model.provider, model.id);
            holds(&full_name) || model.aliases.iter().any(|alias| holds(alias))
        });
        found.cloned().collect()
    }

    pub(super) fn version(&self) -> ToolAnswer {
        let uptime_s = self.uptime_s();
        ToolAnswer {
            text: format!("EXAI {}, up {uptime_s} s", self.version),
            receipt: None,
            structured: Some(json!({ "name": "exai", "version": self.version, "uptime_s": uptime_s })),
        }
    }

    pub(super) fn status(&self, load: &Load, sums: &Sums, standings: &Standings) -> ToolAnswer {
        let components = self.board.snapshot();
        let mut text = format!("EXAI {}, up {} s", self.version, self.uptime_s());
        let _ = write!(text, "\ncalls: {} in flight, {} waiting", load.in_flight, load.waiting);
        for (outcome, count) in &sums.calls {
            let _ = write!(text, ", {count} {outcome}");
        }
        let _ = write!(text, "\nsessions: {} now, {} in all", sums.sessions_active, sums.sessions_total);
        for gauge in &load.permits {
            let _ = write!(text, "\npermits {}: {} of {}", gauge.scope, gauge.in_use, gauge.limit);
        }
        for (provider, standing) in standings {
            let _ = write!(
                text,
                "\nprovider {provider}: {}",
                breakers::line(standing.as_ref(), clock::utc_now())
            );
        }
        for (name, component) in &components {
            let status = json!(component.status);
            let _ = write!(text, "\n{name}: {} {}", status.as_str().unwrap_or_default(), component.detail);
        }
        for (provider, reason) in &self.left_out {
            let _ = write!(text, "\nprovider {provider} is not in use: {reason}");
        }
        let structured = json!({
            "version": self.version, "uptime_s": self.uptime_s(), "load": load, "counters": sums,
            "components": components, "left_out": self.left_out, "breakers": breakers::facts(standings),
            "clients": events::clients(),
        });
        ToolAnswer { text, receipt: None, structured: Some(structured) }
    }

    fn uptime_s(&self) -> u64 {
        clock::now().duration_since(self.started).as_secs()
    }
}

fn line(model: &Model) -> String {
    let mut line = format!(
        "{} ({}): {} tokens of context, up to {} of answer",
        model.id, model.provider, model.context_tokens, model.output_tokens_max
    );
    if !model.aliases.is_empty() {
        let _ = write!(line, "; also {}", model.aliases.join(", "));
    }
    if let Some(price) = model.price {
        let _ = write!(line, "; ${} in, ${} out per million", price.input, price.output);
    }
    line
}

fn facts(model: &Model) -> Value {
    let thinking = match model.thinking {
        Thinking::None => "none",
        Thinking::Always => "always",
        Thinking::Switchable => "switchable",
    };
    json!({
        "id": model.id, "provider": model.provider, "aliases": model.aliases,
        "context_tokens": model.context_tokens, "output_tokens_max": model.output_tokens_max,
        "thinking": thinking, "vision": model.vision,
        "usd_per_million": model.price.map(|price| json!({
            "input": price.input, "output": price.output, "cached_input": price.cached_input,
        })),
    })
}
