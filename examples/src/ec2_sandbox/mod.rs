//! An EC2 of one's own on loopback: [`FakeCloud`](dstack_core::cloud::FakeCloud) served over the EC2 query protocol, with
//! real `sshd` processes as its instances, and as much of STS and S3 as a client needs beside it.
//!
//! `docs/ec2-sandbox.md` says what it imitates and what not.
//!
//! ```
//! use examples::ec2_sandbox::{Machines, Options, Sandbox};
//!
//! let sandbox = Sandbox::start(Options { machines: Machines::Fake, ..Options::default() })?;
//! assert!(sandbox.url().starts_with("http://127.0.0.1:"));
//! assert!(sandbox.state().instances.is_empty());
//! sandbox.stop();
//! # Ok::<(), examples::ec2_sandbox::StartError>(())
//! ```

mod options;
mod rates;
mod sandbox;
mod state;

mod control;
mod server;
mod way;

mod caller;
mod query;
mod reply;
mod times;
mod xml;

mod account;
mod actions;
mod addresses;
mod catalogue;
mod filter;
mod groups;
mod ids;
mod images;
mod launch;
mod limits;
mod sts;
mod tags;

mod hosts;
mod s3;

pub use options::{Machines, Options};
pub use rates::{RateError, Rates};
pub use sandbox::{Sandbox, StartError};
pub use state::{InstanceState, State};
