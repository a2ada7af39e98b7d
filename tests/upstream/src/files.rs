//! Uploaded files, in memory (A7, B7, D6).

/// What was uploaded.
#[derive(Default)]
pub(crate) struct Shelf {}
