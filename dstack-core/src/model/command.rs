//! What a caller asks for. A command may be rejected; what it causes are events.

use super::rule::{Offering, Purchase};
use super::settings::Settings;
use super::workflow::{Name, WorkflowSpec};
use super::{BlobId, RunId, RunnerId, WorkflowId};

/// What a user may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Allow an offering, or change its maximum. Surplus is shut down in the same append.
    Allow {
        /// The offering as the provider's catalogue has it now.
        offering: Box<Offering>,
        /// The most runners of it at any one time.
        max: u32,
        /// So many are kept alive even where nothing waits; 0 for none.
        min: u32,
    },
    /// Take rules away. Their runners are shut down in the same append.
    Remove(RuleFilter),
    /// Let runners be launched again.
    Enable,
    /// Shut down all runners and launch none. Workflows stay queued.
    Disable,
    /// Change settings.
    Set(Settings),
    /// Submit workflows.
    Submit(Box<Submission>),
    /// Stop one workflow, or all of a run.
    Stop {
        /// The run.
        run: RunId,
        /// One of its workflows; absent means all of them.
        workflow: Option<WorkflowId>,
        /// Whether artifacts are not wanted.
        abort: bool,
    },
    /// Shut one runner down. What runs on it goes back to the queue.
    StopRunner(RunnerId),
}

/// Which rules to remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleFilter {
    /// Only this type; absent means all types.
    pub instance_type: Option<String>,
    /// Only this region; absent means all.
    pub region: Option<String>,
    /// Only bought like this; absent means both.
    pub purchase: Option<Purchase>,
}

/// Workflows that are submitted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Minted by the caller.
    pub run: RunId,
    /// What people call the run.
    pub name: Name,
    /// The packed project folder.
    pub folder: Option<BlobId>,
    /// Names of the secrets in its environment.
    pub secrets: Vec<String>,
    /// The workflows; `depends_on` are places in this list.
    pub workflows: Vec<WorkflowSpec>,
    /// What to do with a workflow that no rule could ever start.
    pub unfit: Unfit,
}

/// What to do with a workflow that no rule could ever start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Refuse the submission.
    Refuse,
    /// Accept it; it waits.
    Queue,
}

/// Why a command is not carried out. Nothing has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// No rule matches.
    #[error("there is no such rule{}", .known.as_ref().map(|known| format!(" (allowed are: {known})")).unwrap_or_default())]
    NoSuchRule {
        /// The rules that there are, for the message.
        known: Option<String>,
    },
    /// More runners are to be kept alive than there may be.
    #[error("a minimum of {min} is more than the maximum of {max}: raise the maximum or lower the minimum")]
    MinimumAboveMaximum {
        /// What was asked to be kept.
        min: u32,
        /// What there may be.
        max: u32,
    },
    /// No run or workflow with this id, or it is over for long.
    #[error("there is no such run or workflow that is not over")]
    NoSuchWorkflow,
    /// It is over already.
    #[error("{0} is already over")]
    AlreadyOver(String),
    /// No runner with this id that is not stopped.
    #[error("there is no such runner")]
    NoSuchRunner,
    /// A submission without workflows.
    #[error("a run needs at least one workflow")]
    EmptyRun,
    /// More than one append holds.
    #[error("a run holds at most {most} workflows, not {got}")]
    TooManyWorkflows {
        /// The bound.
        most: usize,
        /// What was submitted.
        got: usize,
    },
    /// More than one record holds: long commands, or very many dependencies.
    #[error(
        "workflow {workflow} is {bytes} bytes long as it is recorded, and {most} is the most: put long commands into a file of the project, and depend on fewer workflows by way of one in between"
    )]
    WorkflowTooLarge {
        /// Which.
        workflow: Name,
        /// How long it is.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// More than one append holds.
    #[error(
        "the run is {bytes} bytes long as it is recorded, and {most} is the most: submit it in several runs, or put long commands into files of the project"
    )]
    RunTooLarge {
        /// How long it is.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// Two workflows of one name.
    #[error("two workflows are named {0}")]
    DuplicateName(Name),
    /// A dependency that does not come before it in the list, or twice the same.
    #[error("workflow {0} may only depend on workflows that come before it in the list, and on each once")]
    BadDependency(Name),
    /// The run's id is taken.
    #[error("the run id {0} is taken")]
    RunIdTaken(RunId),
    /// No allowed rule could ever start it.
    #[error("no allowed rule can run workflow {workflow}: it needs {needs}")]
    Unfit {
        /// The first that does not fit.
        workflow: Name,
        /// Its needs, for the message.
        needs: String,
    },
    /// The log holds records that this program cannot read in full.
    #[error("the log was written by a newer dstack: {0}")]
    ReadOnly(String),
}
