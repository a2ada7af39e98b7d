//! Starts one provider's connection, restarts it when it panics, and decides whether calls may go there at all.

pub mod messages;
