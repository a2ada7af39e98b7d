//! Who gets in, and what hostile requests get: the real daemon, requests written byte by byte, tokens of every kind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/client.rs"]
mod client;
#[macro_use]
#[path = "support/database.rs"]
mod database;
#[path = "support/http.rs"]
mod http;
#[path = "support/server.rs"]
mod server;
#[path = "support/world.rs"]
mod world;
#[path = "support/ws.rs"]
mod ws;

#[path = "safety/doors.rs"]
mod doors;
#[path = "safety/principals.rs"]
mod principals;
#[path = "safety/reload.rs"]
mod reload;
#[path = "safety/revoked.rs"]
mod revoked;
#[path = "safety/tls.rs"]
mod tls;
