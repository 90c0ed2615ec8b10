//! The pure core: what is, what may be asked, what should change. No clock, entropy, IO or async in here.

mod apply;
pub mod attempt;
pub mod command;
pub mod decide;
pub mod event;
pub mod explain;
mod foreign;
pub mod ids;
pub mod invariant;
pub mod outstanding;
pub mod plan;
pub mod reconcile;
pub mod record;
pub mod rule;
pub mod runner;
pub mod schedule;
pub mod settings;
pub mod state;
pub mod units;
pub mod wait;
pub mod workflow;

pub use attempt::{Exit, ExitCause, Loss, LossClass};
pub use command::{Command, Rejection, RuleFilter, Submission, Unfit};
pub use decide::{Victim, decide, preview, victims};
pub use event::{DecodeError, Encoded, EncodedRef, Event};
pub use explain::Explanation;
pub use foreign::{FOREIGN_TEXT_MAX_BYTES, foreign};
pub use ids::{AppendId, AttemptId, ControllerId, IdError, LaunchId, LogId, RunId, RunnerId, WorkflowId};
pub use outstanding::{Action, ActionKey, outstanding};
pub use plan::{Fit, Item, LaunchReason, Plan, Tick, WaitReason, Waiting};
pub use reconcile::{Greeting, Observation, reconcile};
pub use record::{Batch, Content, Record, RecordHash};
pub use rule::{Gpus, LaunchTiming, Offering, Purchase, RuleKey, Scope};
pub use runner::{
    Address, Certificate, ClaimEnd, ClaimNumber, Identity, LaunchRequest, MachineId, Place, StopReason, Token,
};
pub use schedule::{explain, schedule, standing};
pub use settings::{LaunchOptions, Settings};
pub use state::State;
pub use units::{At, BlobId, Bytes, MicroUsd, MilliCpu, Seq, Span};
pub use workflow::{GpuNeed, Name, NameError, Needs, Program, Retry, Shell, WorkflowSpec};
