//! As much of S3 as object stores need, in memory, path-style.

mod answer;
mod body;
mod list;
mod multipart;
mod object;
mod store;

pub(super) use answer::answer;
pub(super) use store::Store;
