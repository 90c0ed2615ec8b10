//! Runners on demand in your own cloud: an event-sourced scheduler and controller to embed.

#[cfg(any(feature = "local", feature = "project"))]
pub mod archive;
pub mod blob;
mod check;
mod client;
pub mod clock;
pub mod cloud;
pub mod controller;
#[cfg(all(feature = "local", feature = "sqlite"))]
pub mod home;
pub mod host;
pub mod model;
#[cfg(feature = "project")]
pub mod project;
pub mod secret;
pub mod store;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

pub use check::{CheckError, Checked, check};
pub use client::{Client, ClientError};
pub use controller::{Controller, ControllerError, Options, Ports, Provider, Step};
