//! A workflow as `ps` shows it.

use dstack_core::model::{At, RuleKey, RunId, RunnerId, Seq};
use serde_json::{Value, json};

/// What a workflow is doing, in the words that programs may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PhaseName {
    Waiting,
    Starting,
    Running,
    Stopping,
    Succeeded,
    Failed,
    Stopped,
    Skipped,
    Lost,
}

impl PhaseName {
    /// The word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Skipped => "skipped",
            Self::Lost => "lost",
        }
    }
}

/// A workflow as `ps` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub run: String,
    pub run_id: RunId,
    pub workflow: String,
    pub phase: PhaseName,
    pub attempt: u32,
    pub runner: Option<RunnerId>,
    pub rule: Option<RuleKey>,
    pub exit_code: Option<u8>,
    /// Place of the run's first record.
    pub seq: Seq,
    pub submitted: At,
    /// When the newest attempt was assigned.
    pub started: Option<At>,
    /// Since when it is in this phase.
    pub at: At,
    /// How long the newest attempt ran, or has run by now.
    pub running_seconds: Option<u64>,
    pub reason: Option<String>,
    /// Declared artifacts that were not there.
    pub missing: Vec<String>,
    /// Why its attempt before this one, or the one that it waits to repeat, was lost.
    pub loss: Option<String>,
}

impl Row {
    /// The reason for people: with the names of the artifacts that were not there.
    pub(crate) fn reason_words(&self) -> String {
        let reason = self.reason.clone().unwrap_or_default();
        match self.missing.as_slice() {
            [] => reason,
            missing => reason.replace("artifact_missing", &format!("artifact missing: {}", missing.join(", "))),
        }
    }

    /// The row as programs read it.
    pub(crate) fn json(&self) -> Value {
        let rule = self.rule.as_ref();
        json!({
            "run": self.run,
            "run_id": self.run_id.to_string(),
            "workflow": self.workflow,
            "phase": self.phase.as_str(),
            "attempt": self.attempt,
            "runner": self.runner.map(|id| id.to_string()),
            "exit_code": self.exit_code,
            "instance_type": rule.map(|rule| rule.instance_type.clone()),
            "purchase": rule.map(|rule| rule.purchase.to_string()),
            "provider": rule.map(|rule| rule.provider.clone()),
            "region": rule.map(|rule| rule.region.clone()),
            "seq": self.seq.get(),
            "submitted_at": self.submitted.to_string(),
            "started_at": self.started.map(|at| at.to_string()),
            "at": self.at.to_string(),
            "running_seconds": self.running_seconds,
            "reason": self.reason,
            "missing_artifacts": self.missing,
        })
    }
}
