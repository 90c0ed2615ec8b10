//! Logs as they could have been: users, controllers and a cloud in a few lines, driven by generated choices.
//!
//! The cloud's truth is kept beside the log, so that a test can ask what the log may not know.

mod act;
mod cloud;
mod driver;
mod fates;
mod launches;
mod settle;

pub use act::{Act, Job, Luck};
pub use cloud::{Cloud, FakeMachine};
pub use driver::{Driver, records_of};
