//! The state as people ask about it: what each workflow does, and why it waits.

use std::collections::BTreeMap;

use dstack_core::model::explain::Standing;
use dstack_core::model::plan::ScopeTick;
use dstack_core::model::state::{Outcome, Phase, Run, RunnerPhase, Workflow};
use dstack_core::model::{At, Plan, RunId, RunnerId, State, Tick, WaitReason, WorkflowId, schedule, standing};

use super::row::{PhaseName, Row};
use super::words::{loss_words, outcome_words, wait_words};

/// A state at a moment, with what the scheduler would do.
pub(crate) struct Overview<'a> {
    state: &'a State,
    now: At,
    plan: Plan,
}

impl<'a> Overview<'a> {
    /// The state at this moment of log time.
    pub(crate) fn new(state: &'a State, now: At) -> Self {
        Self { state, now, plan: plan(state, now) }
    }

    /// Whether a controller has anything to do.
    pub(crate) fn is_work_owed(&self) -> bool {
        self.state.live_runners().next().is_some() || !self.plan.is_empty() || self.plan.next_wake.is_some()
    }

    /// The rows of a run, one for each workflow.
    pub(crate) fn rows(&self, id: RunId, run: &Run) -> Vec<Row> {
        (0..)
            .zip(&run.workflows)
            .map(|(index, workflow)| self.row(WorkflowId { run: id, index }, run, workflow))
            .collect()
    }

    fn row(&self, id: WorkflowId, run: &Run, workflow: &Workflow) -> Row {
        let (phase, runner) = self.phase(id, workflow);
        let ended = if workflow.is_over() { workflow.since } else { self.now };
        let started = workflow.started.filter(|_| is_of_newest_attempt(workflow));
        let missing = match &workflow.phase {
            Phase::Over(Outcome::Failed { missing, .. }) => missing.clone(),
            Phase::Over(_) | Phase::Waiting | Phase::Assigned(_) | Phase::Exited(..) => Vec::new(),
        };
        Row {
            run: run.name.to_string(),
            run_id: id.run,
            workflow: workflow.spec.name.to_string(),
            phase,
            attempt: workflow.attempt,
            runner,
            rule: runner.and_then(|id| Some(self.state.runners().get(&id)?.request.rule.clone())),
            exit_code: workflow.exit_code(),
            seq: run.submitted,
            submitted: run.at,
            started,
            at: workflow.since,
            running_seconds: started.map(|started| ended.since(started).as_secs()),
            reason: self.reason(id, run, workflow),
            missing,
            loss: workflow.last_loss.as_ref().map(loss_words),
        }
    }

    fn phase(&self, id: WorkflowId, workflow: &Workflow) -> (PhaseName, Option<RunnerId>) {
        match &workflow.phase {
            Phase::Waiting => match self.plan.starting.get(&id) {
                Some(Some(runner)) if self.is_refused(*runner).is_none() => (PhaseName::Starting, Some(*runner)),
                Some(_) | None => (PhaseName::Waiting, None),
            },
            Phase::Assigned(runner) | Phase::Exited(runner, _) if workflow.stop.is_some() => {
                (PhaseName::Stopping, Some(*runner))
            }
            Phase::Assigned(runner) | Phase::Exited(runner, _) => (PhaseName::Running, Some(*runner)),
            Phase::Over(outcome) => {
                let name = match outcome {
                    Outcome::Succeeded => PhaseName::Succeeded,
                    Outcome::Failed { .. } => PhaseName::Failed,
                    Outcome::Stopped => PhaseName::Stopped,
                    Outcome::Skipped { .. } => PhaseName::Skipped,
                    Outcome::Lost(_) => PhaseName::Lost,
                };
                (name, workflow.last_runner)
            }
        }
    }

    fn reason(&self, id: WorkflowId, run: &Run, workflow: &Workflow) -> Option<String> {
        match &workflow.phase {
            Phase::Waiting => {
                let why = self.why_waiting(id, workflow);
                let before = match &workflow.last_loss {
                    Some(loss) => format!("{}; ", loss_words(loss)),
                    None if workflow.attempt > 0 => format!("attempt {} failed and is tried again; ", workflow.attempt),
                    None => String::new(),
                };
                Some(before + &why)
            }
            Phase::Exited(..) => Some("bringing its results home".to_owned()),
            Phase::Assigned(runner) => {
                let is_ending = self.state.runners().get(runner).is_some_and(|it| it.phase == RunnerPhase::Stopping);
                match workflow.stop {
                    Some(_) => Some("asked to end; it is killed when its grace is over".to_owned()),
                    None => is_ending.then(|| "its runner is being shut down".to_owned()),
                }
            }
            Phase::Over(outcome) => outcome_words(outcome, run),
        }
    }

    /// Why the runner is not being launched though it is wanted: the credentials for it are not accepted.
    fn is_refused(&self, runner: RunnerId) -> Option<WaitReason> {
        let runner = self.state.runners().get(&runner).filter(|runner| runner.phase == RunnerPhase::Wanted)?;
        let scope = &runner.request.scope;
        let known = self.state.credentials().get(scope).filter(|known| known.holds(self.now))?.clone();
        Some(WaitReason::Credentials { scope: scope.clone(), until: known.until, why: known.why })
    }

    /// Why a waiting workflow waits.
    fn why_waiting(&self, id: WorkflowId, workflow: &Workflow) -> String {
        let needs = &workflow.spec.needs;
        match standing(self.state, &self.plan, id) {
            Some(Standing::Starting(runner)) => {
                let refused = self.is_refused(runner).map(|reason| wait_words(&reason, needs));
                refused.unwrap_or_else(|| format!("runner {runner} is starting"))
            }
            Some(Standing::Placed(..)) => "about to start".to_owned(),
            // Its maximum is only reached for as long as a runner takes to end.
            Some(Standing::Waits { ending: 1.., .. }) => {
                "a runner is shutting down: another can start when that is over".to_owned()
            }
            Some(Standing::Waits { reason, ending: 0 }) => wait_words(&reason, needs),
            Some(Standing::Hopeless(_)) => "what it waits for did not succeed: it is about to be skipped".to_owned(),
            Some(other) => other.to_string(),
            None => "its turn has not come yet".to_owned(),
        }
    }
}

/// Whether what is known of the workflow's phase is of its newest attempt, and not of the time that it has waited since that
/// was over.
fn is_of_newest_attempt(workflow: &Workflow) -> bool {
    match &workflow.phase {
        Phase::Waiting | Phase::Over(Outcome::Skipped { .. }) => false,
        // A wish for its end finds it running, or waiting for another try.
        Phase::Over(Outcome::Stopped) => {
            let over = workflow.failures + workflow.timeouts + workflow.losses + workflow.interruptions;
            workflow.last_loss.is_none() && over < workflow.attempt
        }
        Phase::Over(Outcome::Succeeded | Outcome::Failed { .. } | Outcome::Lost(_))
        | Phase::Assigned(_)
        | Phase::Exited(..) => true,
    }
}

/// What the scheduler would do if no provider held it back. Nothing times out in here: that is seen by looks alone.
fn plan(state: &State, now: At) -> Plan {
    let free = ScopeTick { last_look: None, allowance: u32::MAX };
    let scopes: BTreeMap<_, _> = state.scopes().into_iter().map(|scope| (scope, free)).collect();
    schedule(state, &Tick { at: now, scopes, ..Tick::default() })
}
