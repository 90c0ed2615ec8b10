//! Providers of machines: the port, its laws, and its implementations.

mod bucket;
#[cfg(any(test, feature = "testkit"))]
mod fake;
#[cfg(any(test, feature = "testkit"))]
pub mod laws;
mod limited;
#[cfg(feature = "local")]
mod local;
mod provider;
mod send_permit;
#[cfg(any(test, feature = "testkit"))]
mod subject;
mod turns;

#[cfg(any(test, feature = "testkit"))]
pub use fake::{
    Api, Draw, FakeCloud, FakeMachine, Faults, Gate, GatePoint, Moment, NoWait, Script, Throttling, builtin_offerings,
};
pub use limited::{Limited, Limits};
#[cfg(feature = "local")]
pub use local::LocalCloud;
pub use provider::{Absence, CloudError, CloudProvider, Known, LaunchError, Look, Machine, MachineState, Notice, Seen};
pub use send_permit::SendPermit;
pub use turns::{Rate, Turns};
