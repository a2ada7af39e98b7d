//! Storms a *built* EXAI from outside, and holds three journals against each other: what clients sent and got, what the doubles of
//! Kimi and GLM received, and what the database holds. Everything random is drawn from one seed. It never looks inside the daemon.
//!
//! A storm is a row of chapters: a crowd of clients asks while things break ([`Mode`] says which), the daemon goes on or dies and
//! starts again, everybody comes back for what they are owed, and [`judge`] says which promises were broken.

mod aftermath;
mod book;
mod cancel;
mod chapter;
mod client;
mod clock;
mod counted;
mod crowd;
mod daemon;
mod database;
mod drain;
mod modes;
mod oracle;
mod panics;
mod postgres;
mod report;
mod trouble;
mod weather;
mod world;
mod ws;

pub use book::{Answer, Ask, Expect, Kind, Question};
pub use database::{AttemptRow, CallRow};
pub use modes::{Mode, storm};
pub use oracle::{Evidence, Rule, Violation, judge};
pub use report::Report;
pub use world::{Fault, Settings, Store};
