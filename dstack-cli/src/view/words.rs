//! Reasons in plain words.

use dstack_core::model::state::{Outcome, Run};
use dstack_core::model::{Loss, Needs, WaitReason, WorkflowId};

use super::time::clock_time;

/// What the needs are, where something is asked for.
pub(crate) fn needs_words(needs: &Needs) -> String {
    if needs.is_empty() { "any runner".to_owned() } else { needs.to_string() }
}

/// Why workflows of these needs wait.
pub(crate) fn wait_words(reason: &WaitReason, needs: &Needs) -> String {
    match reason {
        WaitReason::NoFittingRule => {
            format!("no allowed instance type fits ({}): see `dstack autoscale allow --help`", needs_words(needs))
        }
        WaitReason::Unavailable { rule, until: Some(until), why } => {
            format!("{} {} is not available until {}: {why}", rule.instance_type, rule.purchase, clock_time(*until))
        }
        WaitReason::Paused { rule, until } => format!(
            "runners of {} keep ending without work done: the next try is at {}",
            rule.instance_type,
            clock_time(*until)
        ),
        WaitReason::Credentials { scope, until: Some(until), why } => format!(
            "the credentials of {} are not accepted, the next try is at {}: {why}",
            scope.provider,
            clock_time(*until)
        ),
        WaitReason::Disabled
        | WaitReason::Credentials { until: None, .. }
        | WaitReason::MaximumZero(_)
        | WaitReason::AtMaximum(_)
        | WaitReason::Kept(_)
        | WaitReason::KeptForEarlier(_)
        | WaitReason::OnTrial { .. }
        | WaitReason::Unavailable { until: None, .. }
        | WaitReason::Blocked { .. }
        | WaitReason::PoolFull(_)
        | WaitReason::Throttled => reason.to_string(),
    }
}

/// Why an attempt was lost.
pub(crate) fn loss_words(loss: &Loss) -> String {
    loss.to_string()
}

/// How a workflow ended, as far as its phase does not say it: the reason in `ps`.
pub(crate) fn outcome_words(outcome: &Outcome, run: &Run) -> Option<String> {
    match outcome {
        Outcome::Succeeded => None,
        Outcome::Failed { exit, missing } if exit.code == 0 && !missing.is_empty() => {
            Some("artifact_missing".to_owned())
        }
        Outcome::Failed { exit, missing } if !missing.is_empty() => Some(format!("{exit}; artifact_missing")),
        Outcome::Failed { exit, .. } => Some(exit.to_string()),
        Outcome::Stopped => Some("stopped by its user".to_owned()),
        Outcome::Skipped { cause } => Some(format!("it depends on {}", root(run, *cause))),
        Outcome::Lost(loss) => Some(format!("given up: {}", loss_words(loss))),
    }
}

/// The workflow at the root of it, and how it ended.
fn root(run: &Run, cause: WorkflowId) -> String {
    let Some(workflow) = run.workflow(cause.index) else { return "a workflow that did not succeed".to_owned() };
    let name = &workflow.spec.name;
    match &workflow.phase {
        dstack_core::model::state::Phase::Over(Outcome::Failed { exit, missing }) => {
            if exit.code == 0 {
                format!("{name}, which failed: artifact missing: {}", missing.join(", "))
            } else {
                format!("{name}, which failed: {exit}")
            }
        }
        dstack_core::model::state::Phase::Over(Outcome::Stopped) => format!("{name}, which was stopped"),
        dstack_core::model::state::Phase::Over(Outcome::Lost(loss)) => {
            format!("{name}, which was given up: {}", loss_words(loss))
        }
        _ => format!("{name}, which did not succeed"),
    }
}
