//! Runners on demand in your own cloud: an event-sourced scheduler and controller to embed.
//!
//! A user allows types of machines, each with a maximum. They submit workflows. dstack starts just the machines that are
//! needed, runs the workflows on them, brings logs and artifacts home, and tears the machines down. Everything that ever
//! happened is in one append-only log ([`store`]); everything dstack knows is a fold of it ([`model`]); a [`controller`]
//! keeps the promises. Clouds, hosts, logs and clocks are ports: [`cloud`], [`host`], [`store`], [`mod@clock`].
//!
//! # The whole loop
//! A cloud in memory and virtual time, so that this example runs anywhere; with `LocalCloud`, `ProcessHost`, `SqliteStore`
//! and `SystemClock` the same lines start real processes, as the example program `embed` shows.
//!
#![cfg_attr(feature = "testkit", doc = "```")]
#![cfg_attr(not(feature = "testkit"), doc = "```ignore")]
//! use std::sync::Arc;
//! use dstack_core::model::{Purchase, WorkflowSpec};
//! use dstack_core::testkit::World;
//! use dstack_core::Dstack;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let world = World::new(7);
//! let mut dstack = Dstack::new(
//!     world.store.clone(),
//!     world.clock.clone(),
//!     world.blobs.clone(),
//!     world.outputs.clone(),
//!     world.secrets.clone(),
//! )
//! .provider("fake", Arc::new(world.cloud.clone()), Arc::new(world.host.clone()));
//!
//! let run = world.run(async {
//!     dstack.allow(("fake", "us-east-1", "m7i.large"), Purchase::Spot, 2).await?;
//!     let hello = WorkflowSpec::script("hello".parse()?, ["printf 'hello'", "exit 0"]);
//!     let run = dstack.submit("first".parse()?, [hello]).await?;
//!     loop {
//!         let step = dstack.step().await?;
//!         if step.is_idle {
//!             break Ok::<_, Box<dyn std::error::Error>>(run);
//!         }
//!         dstack.wait(step.next_wake).await;
//!     }
//! })??;
//!
//! assert!(dstack.state().runs()[&run].is_over());
//! assert!(world.cloud.machines().iter().all(|machine| !machine.is_live()));
//! # Ok(())
//! # }
//! ```

#[cfg(any(feature = "local", feature = "ssh", feature = "project"))]
pub mod archive;
pub mod blob;
mod check;
mod client;
pub mod clock;
pub mod cloud;
pub mod controller;
mod dstack;
#[cfg(all(feature = "local", feature = "sqlite"))]
pub mod home;
pub mod host;
pub mod model;
pub mod planted;
#[cfg(feature = "project")]
pub mod project;
pub mod secret;
pub mod store;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

pub use check::{CheckError, Checked, check};
pub use client::{Client, ClientError};
pub use controller::{Controller, ControllerError, Options, Ports, Provider, Step};
pub use dstack::{Dstack, DstackError};
