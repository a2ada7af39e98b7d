//! EXAI: a daemon that lets coding agents consult other models over MCP. This is the door: everything that touches the outside.

mod config;
mod security;
mod unix;

fn main() {}
