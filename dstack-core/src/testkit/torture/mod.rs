//! A simulator: real controllers on one log, in virtual time, on one thread, with everything going wrong from one seed.
//!
//! Each call of a port waits, before its effect and before its reply, until it is picked to go on; time passes only when it
//! is picked, too. So every order in which things can happen can be had, and a seed is a run. A schedule has two parts:
//! faults go on and the [properties] are asked after each choice; then faults stop, and all must come to an end.
//!
//! ```
//! use dstack_core::testkit::torture::{Options, campaign};
//!
//! let report = campaign(&Options { schedules: 3, ..Options::default() });
//! assert_eq!(report.violations, 0, "{report}");
//! ```

mod actor;
mod campaign;
mod fault;
mod job;
mod observer;
#[cfg(feature = "planted")]
mod planted;
mod process_clock;
pub mod properties;
mod report;
mod schedule;
mod settle;
mod shrink;
mod swarm;
mod switchboard;
#[cfg(test)]
mod tests;
mod trace;
mod transitions;
mod user;
mod watched;
mod weather;

pub use campaign::{Options, Outcome, campaign, campaign_with, run, seed_of};
pub use fault::{Chance, KINDS, Kind, Part};
pub use observer::Violation;
#[cfg(feature = "planted")]
pub use planted::{Hunt, hunt};
pub use report::{FULL, Failure, Report};
pub use swarm::{Swarm, SwarmRule, TYPES};
pub use trace::{Trace, Traced, run_trace, trace_options};
