//! The tools that clients call: their definitions as data, their arguments, and who answers them. It knows no MCP types.

use serde_json::{Map, Value};

use crate::dispatcher::messages::{Attached, Caller};
use crate::error::CallError;
use crate::receipt::Receipt;

/// One tool, as it is listed.
#[derive(Debug, Clone)]
pub struct Definition {
    /// What clients call.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// For models: when to use it, and what it gives.
    pub description: &'static str,
    /// The JSON Schema (2020-12) of its arguments; strict.
    pub input_schema: Map<String, Value>,
    /// Whether it only reads, as MCP's `readOnlyHint` means it.
    pub read_only: bool,
    /// Whether it reaches outside, as MCP's `openWorldHint` means it.
    pub open_world: bool,
}

/// What a tool gives.
#[derive(Debug, Clone)]
pub struct ToolAnswer {
    /// The answer itself.
    pub text: String,
    /// How it came about, when a model was asked.
    pub receipt: Option<Receipt>,
    /// The answer for programs, when the tool has one.
    pub structured: Option<Value>,
}

/// A tool that was called with good arguments.
pub enum Started {
    /// It is done.
    Answered(ToolAnswer),
    /// A model is being asked.
    Running(Attached),
}

/// Everything that answers tool calls; clones share it.
#[derive(Clone)]
pub struct Toolbox {}

impl Toolbox {
    /// All tools, in the order in which they are listed.
    pub fn definitions(&self) -> &[Definition] {
        &[]
    }

    /// Checks the arguments and starts the tool.
    pub async fn start(
        &self,
        _caller: Caller,
        tool: &str,
        _arguments: Map<String, Value>,
    ) -> Result<Started, CallError> {
        Err(CallError::new(crate::error::ErrorKind::UnknownTool, format!("there is no tool `{tool}`")))
    }

    /// Cancels a call of the caller's.
    pub fn cancel(&self, _caller: &Caller, _call: crate::ids::CallId) {}
}
