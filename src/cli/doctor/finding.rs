//! What the doctor found: one line, and the fix where there is something to mend. Pure.

use serde_json::{Value, json};

/// One thing that was looked at.
#[derive(Debug)]
pub(super) struct Finding {
    name: String,
    detail: String,
    fix: Option<String>,
}

impl Finding {
    /// It is well.
    pub(super) fn well(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into(), fix: None }
    }

    /// It is not, and this mends it.
    pub(super) fn ill(name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into(), fix: Some(fix.into()) }
    }

    /// It is not, in the words of an error that names its own fix.
    pub(super) fn told(name: impl Into<String>, error: impl Into<String>) -> Self {
        let error = error.into();
        match error.split_once("; fix: ") {
            Some((detail, fix)) => Self::ill(name, detail, fix),
            None => Self::ill(name, "", error),
        }
    }

    /// Whether there is something to mend.
    pub(super) fn is_ill(&self) -> bool {
        self.fix.is_some()
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { name, detail, fix } = self;
        match fix {
            None => vec![format!("ok   {name}: {detail}")],
            Some(fix) => vec![format!("FAIL {name}: {detail}"), format!("     fix: {fix}")],
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({ "check": self.name, "ok": !self.is_ill(), "detail": self.detail, "fix": self.fix })
    }
}
