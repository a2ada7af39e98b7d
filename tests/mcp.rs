//! What an MCP client meets on the wire: the real daemon, a plain WebSocket client, the doubles of Kimi and GLM.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/client.rs"]
mod client;
#[macro_use]
#[path = "support/database.rs"]
mod database;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

#[path = "mcp/calls.rs"]
mod calls;
#[path = "mcp/eras.rs"]
mod eras;
#[path = "mcp/handovers.rs"]
mod handovers;
#[path = "mcp/lasting.rs"]
mod lasting;
#[path = "mcp/listed.rs"]
mod listed;
#[path = "mcp/paging.rs"]
mod paging;
#[path = "mcp/parallel.rs"]
mod parallel;
#[path = "mcp/prompts.rs"]
mod prompts;
#[path = "mcp/reading.rs"]
mod reading;
