//! One folder that holds everything dstack keeps on this machine: the log, blobs, output, secrets and local runners.
//!
//! It is what the command line is built on, and what an embedder takes who wants the same folder.

#[expect(clippy::module_inception, reason = "the folder itself is this module's main thing")]
mod home;
mod lock;
mod log_file;
mod tidy;

#[cfg(test)]
mod tests;

pub use home::{Home, HomeError};
pub use lock::ControllerLock;
pub use log_file::LogFile;
