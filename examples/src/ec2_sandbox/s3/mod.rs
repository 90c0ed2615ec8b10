//! As much of S3 as object stores need, in memory, path-style.

mod store;

pub(super) use store::{Store, answer};
