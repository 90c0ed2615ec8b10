//! Tests of one's own: virtual time, a whole world in memory, and generators.

pub mod executor;
mod world;

pub use executor::Stuck;
pub use world::World;
