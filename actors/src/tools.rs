//! The tools that clients call: their definitions as data, their arguments, and who answers them. It knows no MCP types.
//!
//! One file a family: `chat.rs` asks a model, `about.rs` tells about the server and `breakers.rs` about its providers, `result.rs`
//! fetches what was answered before.

mod about;
mod arguments;
mod breakers;
mod chat;
mod library;
mod prompts;
mod result;
mod toolbox;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::dispatcher::messages::{Attached, Finished};
use crate::error::CallError;
use crate::receipt::Receipt;

pub use about::About;
pub use breakers::standings;
pub use library::Shelf;
pub use prompts::PromptArgument;
pub use result::page_wanted;
pub use toolbox::{Parts, Toolbox};

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

impl From<Finished> for ToolAnswer {
    fn from(finished: Finished) -> Self {
        Self { text: finished.text.to_string(), receipt: Some(finished.receipt), structured: None }
    }
}

/// A tool that was called with good arguments.
#[derive(Debug)]
pub enum Started {
    /// It is done.
    Answered(Box<ToolAnswer>),
    /// The call that was asked for ended before it was answered, and this is what had come by then: no answer, but not nothing.
    Broken {
        /// How it ended.
        error: CallError,
        /// The beginning of the answer.
        partial: Arc<str>,
    },
    /// A model is being asked for this caller, whose cancel ends the call.
    Running(Attached),
    /// The caller looks on at a call that was asked before; its cancel ends the looking on alone.
    Watching(Attached),
}
