//! The database: its schema, its migrations and the reads. Writes go through `StorageWriter` alone.

pub mod rows;
