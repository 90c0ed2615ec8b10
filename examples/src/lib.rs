//! Programs that embed dstack, each an example of its own; and here what they share with the tests of other crates.

pub mod ec2_sandbox;
pub mod workload;
