//! Runners in memory: the contract of a runner host, in virtual time, with faults to order.

mod attempt;
mod fake_host;
mod files;
mod port;
mod script;

#[cfg(test)]
mod tests;

pub use attempt::Simulated;
pub use fake_host::{FakeHost, HostFaults, Ran};
