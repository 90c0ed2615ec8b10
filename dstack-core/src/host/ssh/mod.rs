//! Runners that are reached over SSH, by the system's own `ssh`.
//!
//! A runner has one connection, shared by all calls and attempts. Over it one fixed line of text starts a shell; it reads
//! the script of the runner's side, and then requests, from its standard input. Names, paths, variables and commands are
//! never part of a shell's text.

mod address;
mod keys;
mod known_host;

mod client;
mod link;
mod protocol;
mod replies;
mod transfer;
mod watcher;

mod ear;
mod host;
mod user_data;

#[cfg(test)]
mod tests;

pub use ear::Ear;
pub use host::SshHost;
pub use keys::{SshKeyError, SshKeys};
pub use user_data::{UserData, UserDataError, user_data};
