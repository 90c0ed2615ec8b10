//! A run and its workflows as the fold knows them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{At, AttemptId, BlobId, Exit, Loss, Name, RunId, RunnerId, Seq, WorkflowId, WorkflowSpec};

/// How a workflow ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It did its work, and its results are kept.
    Succeeded,
    /// Its command failed, or declared artifacts were not there.
    Failed {
        /// How the command ended.
        exit: Exit,
        /// Declared artifacts that were not there.
        missing: Vec<String>,
    },
    /// A user stopped it.
    Stopped,
    /// Something it depends on did not succeed.
    Skipped {
        /// The workflow at the root of it.
        cause: WorkflowId,
    },
    /// It was lost too often.
    Lost(Loss),
}

/// What a workflow is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// For a runner, or for what it depends on.
    Waiting,
    /// Its newest attempt is on this runner.
    Assigned(RunnerId),
    /// Its newest attempt has exited; results are being brought home from this runner.
    Exited(RunnerId, Exit),
    /// It is over.
    Over(Outcome),
}

/// What was saved of an attempt while it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Number of the attempt.
    pub attempt: u32,
    /// List of the artifacts that were there, if any were.
    pub manifest: Option<BlobId>,
}

/// A workflow as the fold knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// What was submitted.
    pub spec: Arc<WorkflowSpec>,
    /// What it is doing.
    pub phase: Phase,
    /// Since when.
    pub since: At,
    /// Number of the newest attempt; 0 before the first.
    pub attempt: u32,
    /// When the newest attempt was assigned.
    pub started: Option<At>,
    /// To which runner.
    pub last_runner: Option<RunnerId>,
    /// Failures that were tried again.
    pub failures: u32,
    /// Attempts that ran longer than they may and were tried again.
    #[serde(default)]
    pub timeouts: u32,
    /// Losses that count, without those below.
    pub losses: u32,
    /// Losses for which the cloud took a runner back.
    #[serde(default)]
    pub interruptions: u32,
    /// How often it was overtaken in the queue since it was the first of its shape; nothing while it is not in the queue.
    #[serde(default)]
    pub overtaken: u32,
    /// What was saved of an attempt before the cloud took its runner: laid back before the next one.
    #[serde(default)]
    pub saved: Option<Saved>,
    /// The newest loss, if the newest attempt was lost.
    pub last_loss: Option<Loss>,
    /// How many of its dependencies have not succeeded yet.
    pub unmet: u32,
    /// Workflows of the run that depend on it.
    pub dependents: Vec<u32>,
    /// A user wants it to end; true means without artifacts.
    pub stop: Option<bool>,
    /// List of the newest attempt's artifacts.
    pub manifest: Option<BlobId>,
}

impl Workflow {
    /// Whether it is over.
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Whether what its newest attempt had made of its artifacts is saved, though that may still run.
    pub fn is_saved(&self) -> bool {
        self.saved.is_some_and(|saved| saved.attempt == self.attempt)
    }

    /// The runner of its newest attempt, while that is not over.
    pub const fn runner(&self) -> Option<RunnerId> {
        match self.phase {
            Phase::Assigned(runner) | Phase::Exited(runner, _) => Some(runner),
            Phase::Waiting | Phase::Over(_) => None,
        }
    }

    /// The exit code that people see; absent while it is not over, and where nothing ran.
    pub const fn exit_code(&self) -> Option<u8> {
        match &self.phase {
            Phase::Waiting | Phase::Assigned(_) | Phase::Over(Outcome::Skipped { .. }) => None,
            Phase::Exited(_, exit) => Some(exit.code),
            Phase::Over(Outcome::Succeeded) => Some(0),
            // A missing artifact fails a command that itself succeeded.
            Phase::Over(Outcome::Failed { exit, .. }) => Some(if exit.code == 0 { 1 } else { exit.code }),
            Phase::Over(Outcome::Stopped) => Some(crate::model::attempt::STOPPED_CODE),
            Phase::Over(Outcome::Lost(_)) => Some(1),
        }
    }
}

/// A run as the fold knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What people call it.
    pub name: Name,
    /// Its first record: the order of submission.
    pub submitted: Seq,
    /// When it was submitted.
    pub at: At,
    /// The packed project folder.
    pub folder: Option<BlobId>,
    /// Names of the secrets in its environment.
    pub secrets: Vec<String>,
    /// How many workflows were announced.
    pub announced: u32,
    /// Its workflows, by their place in the submission.
    pub workflows: Vec<Workflow>,
    /// How many of the announced workflows are not over.
    pub open: u32,
}

impl Run {
    /// Whether all of its workflows are over.
    pub const fn is_over(&self) -> bool {
        self.open == 0
    }

    /// The workflow at this place.
    pub fn workflow(&self, index: u32) -> Option<&Workflow> {
        self.workflows.get(usize::try_from(index).ok()?)
    }

    /// The workflow of this name, with its place.
    pub fn workflow_named(&self, name: &Name) -> Option<(u32, &Workflow)> {
        (0..).zip(&self.workflows).find(|(_, workflow)| workflow.spec.name == *name)
    }

    /// The newest attempt of the workflow at this place, if it had any.
    pub fn newest_attempt(&self, id: RunId, index: u32) -> Option<AttemptId> {
        let number = self.workflow(index)?.attempt;
        (number > 0).then_some(AttemptId { workflow: WorkflowId { run: id, index }, number })
    }
}

/// The workflow at the root of it, if something that `workflow` depends on is over without success.
pub(crate) fn root_cause(run: &Run, id: RunId, workflow: &Workflow) -> Option<WorkflowId> {
    workflow.spec.depends_on.iter().find_map(|index| match &run.workflow(*index)?.phase {
        Phase::Over(Outcome::Succeeded) | Phase::Waiting | Phase::Assigned(_) | Phase::Exited(..) => None,
        Phase::Over(Outcome::Skipped { cause }) => Some(*cause),
        Phase::Over(Outcome::Failed { .. } | Outcome::Stopped | Outcome::Lost(_)) => {
            Some(WorkflowId { run: id, index: *index })
        }
    })
}
