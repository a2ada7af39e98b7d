//! Reads a tool's arguments strictly, and says what is wrong with them without ever quoting a value.

use serde_json::{Map, Value};

use crate::error::{CallError, ErrorKind};

/// Longest name of an unknown argument that is repeated to the caller.
const NAME_CHARS_MAX: usize = 40;

/// The arguments of one call; each is taken out once, and what is left at the end is unknown.
pub(super) struct Arguments {
    tool: &'static str,
    values: Map<String, Value>,
}

impl Arguments {
    pub(super) fn new(tool: &'static str, values: Map<String, Value>) -> Self {
        Self { tool, values }
    }

    /// A text of 1 to `chars_max` characters.
    pub(super) fn text(&mut self, name: &str, chars_max: usize) -> Result<Option<String>, CallError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Err(self.wrong(name, "must not be empty")),
            Some(Value::String(text)) if text.chars().count() > chars_max => {
                Err(self.wrong(name, &format!("must have at most {chars_max} characters")))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "must be a string")),
        }
    }

    /// A number from `low` to `high`.
    pub(super) fn number(&mut self, name: &str, low: f64, high: f64) -> Result<Option<f64>, CallError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
                Some(_) | None => Err(self.wrong(name, &format!("must be a number from {low} to {high}"))),
            },
        }
    }

    /// A whole number from `low` to `high`.
    pub(super) fn whole(&mut self, name: &str, low: u32, high: u32) -> Result<Option<u32>, CallError> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
                Some(number) if (low..=high).contains(&number) => Ok(Some(number)),
                Some(_) | None => {
                    Err(self.wrong(name, &format!("must be a whole number from {low} to {high}")))
                }
            },
        }
    }

    /// True or false.
    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, CallError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(_) => Err(self.wrong(name, "must be true or false")),
        }
    }

    /// An identifier that this server handed out.
    pub(super) fn id<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>, CallError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => match text.parse() {
                Ok(id) => Ok(Some(id)),
                Err(_) => Err(self.wrong(name, "must be a UUIDv7 that this server handed out")),
            },
            Some(_) => Err(self.wrong(name, "must be a string")),
        }
    }

    /// What was taken, or the complaint that it is missing.
    pub(super) fn required<T>(&self, name: &str, taken: Option<T>) -> Result<T, CallError> {
        taken.ok_or_else(|| self.wrong(name, "is required"))
    }

    /// Everything must have been taken; `known` are the names that there are.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), CallError> {
        let Some(name) = self.values.keys().next() else { return Ok(()) };
        let harmless = name.chars().count() <= NAME_CHARS_MAX
            && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_' || char == '-');
        let named = if harmless { format!("`{name}`") } else { "one of the names".to_owned() };
        let takes = match known {
            [] => "it takes none".to_owned(),
            known => format!("it takes {}", known.join(", ")),
        };
        Err(invalid(format!("`{}` has an argument that it does not know: {named}; {takes}.", self.tool)))
    }

    /// JSON null is the same as leaving an argument out.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, rule: &str) -> CallError {
        invalid(format!("`{}`: `{name}` {rule}.", self.tool)).with("argument", name)
    }
}

fn invalid(message: String) -> CallError {
    CallError::new(ErrorKind::InvalidArguments, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(values: Value) -> Arguments {
        Arguments::new("chat", values.as_object().expect("an object").clone())
    }

    #[test]
    fn good_values_are_taken_once() {
        let mut given = arguments(json!({"a": "text", "b": 0.5, "c": 7, "d": true, "e": null}));
        assert_eq!(given.text("a", 4).ok().flatten().as_deref(), Some("text"));
        assert_eq!(given.number("b", 0.0, 1.0).ok().flatten(), Some(0.5));
        assert_eq!(given.whole("c", 1, 7).ok().flatten(), Some(7));
        assert_eq!(given.boolean("d").ok().flatten(), Some(true));
        assert_eq!(given.text("e", 4).ok().flatten(), None);
        assert!(given.finish(&[]).is_ok());
    }

    #[test]
    fn complaints_name_the_argument_and_never_quote_its_value() {
        let secret = "CANARY";
        let complaints = [
            arguments(json!({"a": secret})).text("a", 3).err(),
            arguments(json!({"a": [secret]})).text("a", 3).err(),
            arguments(json!({"a": "  "})).text("a", 3).err(),
            arguments(json!({"a": secret})).number("a", 0.0, 1.0).err(),
            arguments(json!({"a": 1.5})).whole("a", 1, 7).err(),
            arguments(json!({"a": -1})).whole("a", 1, 7).err(),
            arguments(json!({"a": secret})).boolean("a").err(),
            arguments(json!({"a": secret})).id::<crate::ids::CallId>("a").err(),
        ];
        for complaint in complaints {
            let complaint = complaint.expect("it is wrong");
            assert_eq!(complaint.kind, ErrorKind::InvalidArguments);
            assert!(complaint.message.contains("`a`"), "{complaint}");
            assert!(!complaint.message.contains(secret), "{complaint}");
        }
        let unknown = arguments(json!({"a CANARY in a name": 1})).finish(&["prompt"]).err();
        assert!(unknown.is_some_and(|complaint| !complaint.message.contains(secret)));
        let unknown = arguments(json!({"promt": 1})).finish(&["prompt"]).err();
        assert!(unknown.is_some_and(|complaint| complaint.message.contains("`promt`")));
    }
}
