//! Everything that dstack knows: a fold of the log.

mod fault;
mod left;
mod machine;
mod pairs;
mod queue;
mod room;
mod rules;
mod run;
#[expect(clippy::module_inception, reason = "the state itself is this folder's main thing")]
mod state;

pub use fault::{Fault, Faults};
pub use left::{Left, MAX_HELD_RUNNERS, MAX_HELD_WORKFLOWS, MAX_PAST};
pub use machine::{Claim, Runner, RunnerPhase};
pub use queue::{Fits, Head, MAX_OVERTAKINGS, Queue, QueueKey, Shape};
pub(crate) use room::{Alike, Among};
pub use room::{Room, Rooms, Used};
pub use rules::{MAX_STRIKES, Rule, Unavailable};
pub(crate) use run::root_cause;
pub use run::{Outcome, Phase, Run, Saved, Workflow};
pub use state::{STATE_VERSION, State};
