//! The door of EXAI.

#[cfg_attr(not(test), expect(dead_code, reason = "the wiring comes with `exai serve`"))]
mod mcp;

fn main() {}
