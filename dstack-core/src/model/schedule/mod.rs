//! The scheduling policy: what should change, and why the rest waits.
//!
//! In this order: workflows that can never run are skipped; timers that ran out stop runners; claims are renewed; then the
//! queue is walked in its order, and each workflow is placed on a running runner, else on one that is starting, else on a
//! new one of the first fitting offering. What waits does so for a reason that is in the plan.

mod claims;
mod explain;
mod launch;
mod pack;
mod queue;
#[expect(clippy::module_inception, reason = "the policy's entrance is this folder's main thing")]
mod schedule;
mod skip;
mod timers;

pub use explain::{explain, standing};
pub use schedule::schedule;
