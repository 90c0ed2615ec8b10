//! Every transition that a campaign should see, by name, and which of them a record makes.

use std::collections::BTreeMap;

use crate::model::attempt::LossClass;
use crate::model::state::{Outcome, Phase, RunnerPhase};
use crate::model::{Certificate, ClaimEnd, Event, ExitCause, Loss, RunnerId, State, StopReason, WorkflowId};

/// What a campaign of the full length must have seen, besides each kind of event.
pub(super) const TRANSITIONS: &[&str] = &[
    "runner: wanted to launched",
    "runner: launched to ready",
    "runner: wanted to stopping",
    "runner: launched to stopping",
    "runner: ready to stopping",
    "runner: wanted to stopped",
    "runner: launched to stopped",
    "runner: ready to stopped",
    "runner: stopping to stopped",
    "stop: max lowered",
    "stop: rule removed",
    "stop: disabled",
    "stop: by hand",
    "stop: idle",
    "stop: launch timeout",
    "stop: boot timeout",
    "stop: launch failed",
    "stop: lost",
    "stop: quarantined",
    "certificate: terminated",
    "certificate: ended",
    "certificate: gone",
    "certificate: never launched",
    "certificate: not found",
    "claim: answered",
    "claim: unsent",
    "claim: waited",
    "claim: made again",
    "loss: runner lost",
    "loss: interrupted",
    "loss: shut down",
    "loss: process lost",
    "loss: never begun",
    "loss: refused",
    "loss: results lost",
    "loss: counted",
    "loss: uncounted",
    "exit: success",
    "exit: code",
    "exit: signal",
    "exit: timeout",
    "exit: stopped",
    "workflow: waiting to assigned",
    "workflow: assigned to exited",
    "workflow: assigned to waiting",
    "workflow: exited to waiting",
    "workflow: assigned to over",
    "workflow: exited to over",
    "workflow: waiting to over",
    "outcome: succeeded",
    "outcome: failed",
    "outcome: stopped",
    "outcome: skipped",
    "outcome: lost",
];

/// Transitions that were seen, with how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen(pub(super) BTreeMap<String, u64>);

/// What is to be compared before and after a record.
#[derive(Debug, Default)]
pub(super) struct Before {
    runner: Option<(RunnerId, RunnerPhase)>,
    workflows: Vec<(WorkflowId, &'static str)>,
}

impl Seen {
    fn see(&mut self, name: impl Into<String>) {
        *self.0.entry(name.into()).or_default() += 1;
    }

    /// Adds what another schedule has seen.
    pub(super) fn merge(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// What a record may change.
    pub(super) fn before(state: &State, event: &Event) -> Before {
        let runner = runner_of(event);
        let phase = |id: &RunnerId| state.runners().get(id).map(|runner| runner.phase);
        let mut ids: Vec<WorkflowId> = runner
            .and_then(|id| state.runners().get(&id))
            .map(|runner| runner.attempts.iter().map(|attempt| attempt.workflow).collect())
            .unwrap_or_default();
        ids.extend(workflow_of(event));
        let workflows = ids.into_iter().filter_map(|id| Some((id, phase_name(&state.workflow(id)?.phase))));
        Before { runner: runner.and_then(|id| Some((id, phase(&id)?))), workflows: workflows.collect() }
    }

    /// What a record has changed.
    pub(super) fn after(&mut self, before: &Before, state: &State, event: &Event) {
        self.see(format!("event: {}", event.kind()));
        if let Some((id, was)) = before.runner
            && let Some(runner) = state.runners().get(&id)
            && runner.phase != was
        {
            self.see(format!("runner: {} to {}", was.as_str(), runner.phase.as_str()));
        }
        for (id, was) in &before.workflows {
            let Some(workflow) = state.workflow(*id) else { continue };
            let is = phase_name(&workflow.phase);
            if is != *was {
                self.see(format!("workflow: {was} to {is}"));
                if let Phase::Over(outcome) = &workflow.phase {
                    self.see(format!("outcome: {}", outcome_name(outcome)));
                }
                if let (Some(loss), "waiting") = (&workflow.last_loss, is) {
                    self.see_loss(loss);
                }
            }
        }
        match event {
            Event::RunnerStopping(stopping) => self.see(format!("stop: {}", reason_name(&stopping.reason))),
            Event::RunnerStopped(stopped) => {
                self.see(format!("certificate: {}", certificate_name(stopped.certificate)));
                self.see(format!("stop: {}", reason_name(&stopped.reason)));
            }
            Event::ClaimClosed(closed) => self.see(format!("claim: {}", claim_name(closed.end))),
            Event::RunnerLaunched(_) => self.see("claim: answered"),
            Event::ClaimMade(made) if made.claim.0 > 1 => self.see("claim: made again"),
            Event::AttemptLost(lost) => self.see_loss(&lost.loss),
            Event::AttemptExited(exited) => self.see(match exited.exit.cause {
                ExitCause::Exited if exited.exit.code == 0 => "exit: success",
                ExitCause::Exited => "exit: code",
                ExitCause::Signal(_) => "exit: signal",
                ExitCause::Timeout => "exit: timeout",
                ExitCause::Stopped => "exit: stopped",
                ExitCause::OutOfMemory => "exit: out of memory",
                ExitCause::NotStarted => "exit: not started",
            }),
            _ => {}
        }
    }

    fn see_loss(&mut self, loss: &Loss) {
        self.see(match loss {
            Loss::RunnerLost => "loss: runner lost",
            Loss::Interrupted => "loss: interrupted",
            Loss::ShutDown => "loss: shut down",
            Loss::ProcessLost => "loss: process lost",
            Loss::ResultsLost => "loss: results lost",
            Loss::NeverBegun => "loss: never begun",
            Loss::Refused(_) => "loss: refused",
        });
        self.see(match loss.class() {
            LossClass::Loss | LossClass::Interruption => "loss: counted",
            LossClass::Uncounted => "loss: uncounted",
        });
    }
}

fn runner_of(event: &Event) -> Option<RunnerId> {
    match event {
        Event::RunnerLaunched(it) => Some(it.runner),
        Event::RunnerReady(it) => Some(it.runner),
        Event::RunnerStopping(it) => Some(it.runner),
        Event::RunnerStopped(it) => Some(it.runner),
        Event::RunnerNoticed(it) => Some(it.runner),
        Event::LaunchFailed(it) => Some(it.runner),
        _ => None,
    }
}

fn workflow_of(event: &Event) -> Option<WorkflowId> {
    match event {
        Event::AttemptAssigned(it) => Some(it.attempt.workflow),
        Event::AttemptExited(it) => Some(it.attempt.workflow),
        Event::ResultsKept(it) => Some(it.attempt.workflow),
        Event::AttemptStopped(it) => Some(it.attempt.workflow),
        Event::AttemptLost(it) => Some(it.attempt.workflow),
        Event::StopRequested(it) => Some(it.workflow),
        Event::WorkflowSkipped(it) => Some(it.workflow),
        _ => None,
    }
}

const fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Assigned(_) => "assigned",
        Phase::Exited(..) => "exited",
        Phase::Over(_) => "over",
    }
}

const fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed { .. } => "failed",
        Outcome::Stopped => "stopped",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Lost(_) => "lost",
    }
}

const fn reason_name(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::MaxLowered => "max lowered",
        StopReason::RuleRemoved => "rule removed",
        StopReason::Disabled => "disabled",
        StopReason::ByHand => "by hand",
        StopReason::Idle => "idle",
        StopReason::LaunchTimeout => "launch timeout",
        StopReason::BootTimeout => "boot timeout",
        StopReason::LaunchFailed(_) => "launch failed",
        StopReason::Interrupted => "interrupted",
        StopReason::Lost(_) => "lost",
        StopReason::Quarantined(_) => "quarantined",
    }
}

const fn certificate_name(certificate: Certificate) -> &'static str {
    match certificate {
        Certificate::Terminated => "terminated",
        Certificate::Ended => "ended",
        Certificate::Gone => "gone",
        Certificate::NeverLaunched => "never launched",
        Certificate::NotFound => "not found",
    }
}

const fn claim_name(end: ClaimEnd) -> &'static str {
    match end {
        ClaimEnd::Answered => "answered",
        ClaimEnd::Unsent => "unsent",
        ClaimEnd::Waited => "waited",
    }
}
