//! Shared parts of the benches: worlds of any size.

pub mod world;
