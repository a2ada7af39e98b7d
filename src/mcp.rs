//! The Model Context Protocol: the only code that knows rmcp.

pub(crate) mod client;
