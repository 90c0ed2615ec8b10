//! The real program, with homes of its own, on this machine.

mod bench;

mod artifacts;
mod autoscale;
#[cfg(feature = "aws")]
mod aws;
mod hints;
mod homes;
mod kills;
mod leaving;
mod listings;
mod output;
mod pages;
mod planted;
mod runs;
mod secrets;
mod signals;
