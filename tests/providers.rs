//! Where calls go and what comes of every answer that is none: each provider's calls reach its own host with its own key, and each
//! refusal and each broken stream is one typed error without a word of the upstream's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/client.rs"]
mod client;
#[path = "support/database.rs"]
mod database;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

#[path = "providers/broken.rs"]
mod broken;
#[path = "providers/refusals.rs"]
mod refusals;
#[path = "providers/routing.rs"]
mod routing;
