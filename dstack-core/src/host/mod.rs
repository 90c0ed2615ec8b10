//! How work gets onto a runner and its results come home: the port, its laws, and its implementations.

#[cfg(any(test, feature = "testkit"))]
mod fake;
#[cfg(any(test, feature = "testkit"))]
pub mod laws;
#[cfg(feature = "local")]
pub mod process;
mod runner_host;
#[cfg(feature = "ssh")]
pub mod ssh;
#[cfg(any(test, feature = "testkit"))]
mod subject;
#[cfg(all(test, any(feature = "local", feature = "ssh")))]
pub(crate) mod test_archive;

#[cfg(any(test, feature = "testkit"))]
pub use fake::{FakeHost, HostFaults, Ran, Simulated};
#[cfg(feature = "local")]
pub use process::ProcessHost;
pub use runner_host::{Begun, Closing, Contents, Fetched, Hearing, HostError, Job, Polled, Progress, RunnerHost};
#[cfg(feature = "ssh")]
pub use ssh::SshHost;
