//! A cloud in memory: no kinder than EC2, in virtual time, with faults to order.

mod draw;
mod fake_cloud;
mod fake_machine;
mod faults;
mod gate;
mod launches;
mod offerings;
mod port;
mod world;

#[cfg(test)]
pub(crate) mod tests;

pub use draw::Draw;
pub use fake_cloud::FakeCloud;
pub use fake_machine::FakeMachine;
pub use faults::{Faults, Script, Throttling};
pub use gate::{Gate, GatePoint, Moment, NoWait};
pub use offerings::builtin_offerings;
pub use world::Api;
