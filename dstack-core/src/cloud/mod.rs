//! Providers of machines: the port, its laws, and its implementations.

mod fake;
#[cfg(any(test, feature = "testkit"))]
pub mod laws;
mod limited;
#[cfg(feature = "local")]
mod local;
mod provider;

pub use fake::FakeCloud;
pub use limited::Limited;
#[cfg(feature = "local")]
pub use local::LocalCloud;
pub use provider::{Absence, CloudError, CloudProvider, Known, LaunchError, Look, Machine, MachineState, Notice, Seen};
