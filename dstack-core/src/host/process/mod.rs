//! Runners that are folders and processes on this machine.
//!
//! Each runner has one supervisor: our own program, executed again, in a session of its own. It outlives every controller;
//! its death is the end of its runner. Controllers talk to it over a socket in the runner's folder, and read and write the
//! attempts' files themselves.

mod folder;
mod identity;
mod leftovers;
mod wire;

mod memory_events;
mod output_watch;
mod program;
mod supervised;
mod supervisor;

mod afterwards;
mod host;

#[cfg(test)]
mod garbled;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
pub(crate) mod test_runner;

pub(crate) use folder::{Life, RunnerFolder, make_folders};
pub(crate) use identity::Identity;
#[cfg(test)]
pub(crate) use identity::is_running;
pub(crate) use leftovers::kill_leftovers;
pub(crate) use wire::{answers, end_runner};

pub use host::ProcessHost;
pub use supervisor::{READY, supervise};
