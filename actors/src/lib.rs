//! The system of EXAI.

pub mod clock;
pub mod dispatcher;
pub mod error;
pub mod faults;
pub mod health;
pub mod ids;
pub mod mail;
pub mod models;
pub mod provider;
pub mod provider_supervisor;
pub mod receipt;
pub mod session;
pub mod storage;
pub mod storage_writer;
pub mod supervised;
pub mod tools;
