//! Every write to the database, in batches: what arrives while one commit runs goes into the next. It reads nothing and decides
//! nothing about calls.

pub mod messages;
