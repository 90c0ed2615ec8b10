//! Tests of one's own: virtual time, a whole world in memory, generators of logs, and a naive scheduler to compare with.

pub mod executor;
pub mod floor;
pub mod history;
pub mod naive;
pub mod samples;
pub mod scenario;
pub mod strategy;
pub mod torture;
mod world;

pub use executor::Stuck;
pub use world::World;
