//! A view of a log, the commands on it, and what has left its state.

#[expect(clippy::module_inception, reason = "the client itself is this folder's main thing")]
mod client;
mod past;

pub use client::{Client, ClientError};
