//! Attempts: assigned, exited, kept, stopped, lost.

use std::sync::Arc;

use crate::model::attempt::LossClass;
use crate::model::event::{ArtifactsSaved, AttemptAssigned, AttemptExited, AttemptLost, AttemptStopped, ResultsKept};
use crate::model::state::{Outcome, Phase, Room, Runner, RunnerPhase, Saved, Used, Workflow};
use crate::model::{AttemptId, Exit, ExitCause, Loss, RunnerId, Settings, State};
use crate::planted::{self, Bug};

impl State {
    pub(super) fn attempt_assigned(&mut self, event: &AttemptAssigned) -> Result<(), String> {
        let attempt = event.attempt;
        let id = attempt.workflow;
        let workflow = self.workflow(id).ok_or_else(|| format!("there is no workflow {id}"))?;
        if workflow.phase != Phase::Waiting
            || workflow.unmet > 0
            || (attempt.number != workflow.attempt + 1 && !planted::is(Bug::AttemptReused))
        {
            return Err(format!("workflow {id} does not wait for attempt {}", attempt.number));
        }
        let spec = Arc::clone(&workflow.spec);
        let needs = &spec.needs;
        let runner = self.runners.get(&event.runner).ok_or_else(|| format!("there is no runner {}", event.runner))?;
        let has_room = Room::of(runner).is_some_and(|room| room.takes(needs)) && needs.fit(&runner.offering);
        if !has_room {
            return Err(format!("runner {} does not take attempt {attempt}", event.runner));
        }
        let place = self.queue_key(id).map(|(_, key)| key);
        self.dequeue(id);
        for passed in place.map(|place| self.queue.overtake(&place)).unwrap_or_default() {
            if let Some(workflow) = self.workflow_mut(passed) {
                workflow.overtaken = workflow.overtaken.saturating_add(1);
            }
        }
        let at = self.at;
        if let Some(workflow) = self.workflow_mut(id) {
            workflow.phase = Phase::Assigned(event.runner);
            workflow.since = at;
            workflow.started = Some(at);
            workflow.last_runner = Some(event.runner);
            workflow.attempt = attempt.number;
            workflow.last_loss = None;
            workflow.overtaken = 0;
        }
        self.change_runner(event.runner, |runner| {
            runner.attempts.insert(attempt);
            runner.used = runner.used.plus(Used::by(needs));
            runner.is_exclusive |= !needs.may_share() && !planted::is(Bug::ExclusiveShared);
            runner.idle_since = None;
        });
        Ok(())
    }

    pub(super) fn attempt_exited(&mut self, event: &AttemptExited) -> Result<(), String> {
        let attempt = event.attempt;
        let at = self.at;
        let workflow = self.workflow_mut(attempt.workflow).ok_or_else(|| unknown(attempt))?;
        if let Phase::Assigned(runner) = workflow.phase
            && workflow.attempt == attempt.number
        {
            workflow.phase = Phase::Exited(runner, event.exit);
            workflow.since = at;
            let Some(runner) = self.runners.get_mut(&runner) else { return Ok(()) };
            // No index is over this.
            runner.finished = runner.finished.saturating_add(1);
            if let Some(rule) = self.rules.get_mut(&runner.request.rule) {
                rule.strikes = 0;
                rule.paused_until = None;
            }
        }
        Ok(())
    }

    pub(super) fn results_kept(&mut self, event: &ResultsKept) -> Result<(), String> {
        let attempt = event.attempt;
        let workflow = self.workflow_mut(attempt.workflow).ok_or_else(|| unknown(attempt))?;
        match workflow.phase {
            Phase::Exited(runner, exit) if workflow.attempt == attempt.number => {
                workflow.manifest = event.manifest;
                self.leave_runner(attempt, runner);
                self.conclude(attempt, exit, &event.missing);
                Ok(())
            }
            Phase::Assigned(_) if workflow.attempt == attempt.number => {
                Err(format!("attempt {attempt} has results but no exit"))
            }
            Phase::Waiting | Phase::Assigned(_) | Phase::Exited(..) | Phase::Over(_) => Ok(()),
        }
    }

    /// Of a later attempt nothing is saved by what is known of an earlier one.
    pub(super) fn artifacts_saved(&mut self, event: &ArtifactsSaved) -> Result<(), String> {
        let attempt = event.attempt;
        let workflow = self.workflow_mut(attempt.workflow).ok_or_else(|| unknown(attempt))?;
        let is_running = matches!(workflow.phase, Phase::Assigned(_));
        if workflow.attempt == attempt.number && is_running && !workflow.is_saved() {
            let before = workflow.saved.and_then(|saved| saved.manifest);
            workflow.saved = Some(Saved { attempt: attempt.number, manifest: event.manifest.or(before) });
        }
        Ok(())
    }

    pub(super) fn attempt_stopped(&mut self, event: &AttemptStopped) -> Result<(), String> {
        let attempt = event.attempt;
        let workflow = self.workflow_mut(attempt.workflow).ok_or_else(|| unknown(attempt))?;
        if let Some(runner) = workflow.runner()
            && workflow.attempt == attempt.number
        {
            workflow.manifest = event.manifest;
            self.leave_runner(attempt, runner);
            self.end_workflow(attempt.workflow, Outcome::Stopped);
        }
        Ok(())
    }

    pub(super) fn attempt_lost(&mut self, event: &AttemptLost) -> Result<(), String> {
        let attempt = event.attempt;
        let workflow = self.workflow(attempt.workflow).ok_or_else(|| unknown(attempt))?;
        if let Some(runner) = workflow.runner()
            && (workflow.attempt == attempt.number || planted::is(Bug::OldLossCounts))
        {
            self.leave_runner(attempt, runner);
            self.lose(attempt, event.loss.clone());
        }
        Ok(())
    }

    /// A lost attempt's workflow goes back to the queue, unless its user wanted it to end or it was lost too often.
    pub(super) fn lose(&mut self, attempt: AttemptId, loss: Loss) {
        let id = attempt.workflow;
        let Settings { max_losses, max_interruptions, .. } = self.settings;
        let at = self.at;
        let Some(workflow) = self.workflow_mut(id) else { return };
        let is_given_up = match loss.class() {
            LossClass::Uncounted => false,
            LossClass::Loss => {
                workflow.losses = workflow.losses.saturating_add(1);
                workflow.losses > max_losses
            }
            LossClass::Interruption => {
                workflow.interruptions = workflow.interruptions.saturating_add(1);
                workflow.interruptions > max_interruptions
            }
        };
        workflow.last_loss = Some(loss.clone());
        if workflow.stop.is_some() && !planted::is(Bug::StoppedRequeues) {
            self.end_workflow(id, Outcome::Stopped);
        } else if is_given_up {
            self.end_workflow(id, Outcome::Lost(loss));
        } else {
            wait_again(workflow, at);
            if !planted::is(Bug::QueueForgets) {
                self.enqueue(id);
            }
        }
    }

    /// An attempt that exited and whose results are kept decides what becomes of its workflow.
    fn conclude(&mut self, attempt: AttemptId, exit: Exit, missing: &[String]) {
        let id = attempt.workflow;
        let at = self.at;
        let Some(workflow) = self.workflow_mut(id) else { return };
        if (exit.is_success() || planted::is(Bug::AnyExitSucceeds)) && missing.is_empty() {
            return self.end_workflow(id, Outcome::Succeeded);
        }
        if workflow.stop.is_some() {
            return self.end_workflow(id, Outcome::Stopped);
        }
        let tried = match exit.cause {
            ExitCause::Timeout => &mut workflow.timeouts,
            ExitCause::Exited
            | ExitCause::Signal(_)
            | ExitCause::Stopped
            | ExitCause::OutOfMemory
            | ExitCause::NotStarted => &mut workflow.failures,
        };
        let is_tried_again = workflow.spec.retry.as_ref().is_some_and(|retry| {
            let matches = retry.on_exit_codes.is_empty() || retry.on_exit_codes.contains(&exit.code);
            !exit.is_success() && matches && *tried < retry.max
        });
        if is_tried_again {
            *tried += 1;
            wait_again(workflow, at);
            self.enqueue(id);
        } else {
            self.end_workflow(id, Outcome::Failed { exit, missing: missing.to_vec() });
        }
    }

    fn leave_runner(&mut self, attempt: AttemptId, runner: RunnerId) {
        let at = self.at;
        let needs = self.workflow(attempt.workflow).map(|workflow| workflow.spec.clone());
        self.change_runner(runner, |runner: &mut Runner| {
            if runner.attempts.remove(&attempt)
                && let Some(spec) = needs
                && !planted::is(Bug::RoomNotReturned)
            {
                runner.used = runner.used.minus(Used::by(&spec.needs));
            }
            if runner.attempts.is_empty() {
                runner.is_exclusive = false;
                runner.used = Used::default();
                runner.idle_since = (runner.phase == RunnerPhase::Ready).then_some(at);
            }
        });
    }
}

fn wait_again(workflow: &mut Workflow, at: crate::model::At) {
    workflow.phase = Phase::Waiting;
    workflow.since = at;
}

fn unknown(attempt: AttemptId) -> String {
    format!("there is no workflow {}", attempt.workflow)
}
