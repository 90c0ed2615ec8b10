//! Runs and workflows: submission, waiting, the end.

use std::sync::Arc;

use crate::model::event::{RunSubmitted, StopRequested, WorkflowSkipped, WorkflowSubmitted};
use crate::model::state::{Outcome, Phase, Run, Workflow};
use crate::model::{State, WorkflowId};
use crate::planted::{self, Bug};

impl State {
    pub(super) fn run_submitted(&mut self, event: &RunSubmitted) -> Result<(), String> {
        if self.knows_run(event.run) {
            return Err(format!("the run id {} is taken", event.run));
        }
        if event.workflows == 0 {
            return Err("a run needs at least one workflow".to_owned());
        }
        let run = Run {
            name: event.name.clone(),
            submitted: self.seq,
            at: self.at,
            folder: event.folder,
            secrets: event.secrets.clone(),
            announced: event.workflows,
            workflows: Vec::new(),
            open: event.workflows,
        };
        self.runs.insert(event.run, run);
        self.open_runs.insert(event.run);
        Ok(())
    }

    pub(super) fn workflow_submitted(&mut self, event: &WorkflowSubmitted) -> Result<(), String> {
        let id = event.id;
        let at = self.at;
        let run = self.runs.get_mut(&id.run).ok_or_else(|| format!("there is no run {}", id.run))?;
        if usize::try_from(id.index) != Ok(run.workflows.len()) || id.index >= run.announced {
            return Err(format!("workflow {id} is not the next of its run"));
        }
        if event.spec.depends_on.iter().any(|index| *index >= id.index) {
            return Err(format!("workflow {id} depends on one that does not come before it"));
        }
        let mut unmet = 0;
        for index in &event.spec.depends_on {
            let Some(earlier) = usize::try_from(*index).ok().and_then(|index| run.workflows.get_mut(index)) else {
                continue;
            };
            earlier.dependents.push(id.index);
            unmet += u32::from(earlier.phase != Phase::Over(Outcome::Succeeded));
        }
        let workflow = Workflow {
            spec: Arc::clone(&event.spec),
            phase: Phase::Waiting,
            since: at,
            attempt: 0,
            started: None,
            last_runner: None,
            failures: 0,
            timeouts: 0,
            losses: 0,
            interruptions: 0,
            overtaken: 0,
            saved: None,
            last_loss: None,
            unmet,
            dependents: Vec::new(),
            stop: None,
            manifest: None,
        };
        let is_skipped = crate::model::state::root_cause(run, id.run, &workflow).is_some();
        run.workflows.push(workflow);
        if is_skipped {
            self.skips.insert(id);
        }
        self.enqueue(id);
        Ok(())
    }

    pub(super) fn stop_requested(&mut self, event: &StopRequested) -> Result<(), String> {
        let id = event.workflow;
        let workflow = self.workflow_mut(id).ok_or_else(|| format!("there is no workflow {id}"))?;
        let phase = workflow.phase.clone();
        match phase {
            Phase::Over(_) => {}
            Phase::Assigned(_) if planted::is(Bug::StopForgotten) => {}
            Phase::Waiting => self.end_workflow(id, Outcome::Stopped),
            Phase::Assigned(_) | Phase::Exited(..) => {
                workflow.stop = Some(event.abort || workflow.stop == Some(true));
            }
        }
        Ok(())
    }

    pub(super) fn workflow_skipped(&mut self, event: &WorkflowSkipped) -> Result<(), String> {
        let id = event.workflow;
        let workflow = self.workflow(id).ok_or_else(|| format!("there is no workflow {id}"))?;
        match workflow.phase {
            Phase::Over(_) => Ok(()),
            Phase::Waiting if workflow.unmet > 0 => {
                let is_cause = event.cause.run == id.run && event.cause.index < id.index;
                let cause = self.workflow(event.cause).filter(|_| is_cause).map(|cause| &cause.phase);
                if !matches!(cause, Some(Phase::Over(Outcome::Failed { .. } | Outcome::Stopped | Outcome::Lost(_)))) {
                    return Err(format!("workflow {id} is not to be skipped for {}", event.cause));
                }
                self.end_workflow(id, Outcome::Skipped { cause: event.cause });
                Ok(())
            }
            Phase::Waiting | Phase::Assigned(_) | Phase::Exited(..) => {
                Err(format!("workflow {id} is not to be skipped"))
            }
        }
    }

    /// Ends a workflow and tells those that depend on it.
    pub(super) fn end_workflow(&mut self, id: WorkflowId, outcome: Outcome) {
        if self.workflow(id).is_some_and(|workflow| workflow.phase == Phase::Waiting) {
            self.dequeue(id);
            self.skips.remove(&id);
        }
        let at = self.at;
        let has_succeeded = outcome == Outcome::Succeeded || planted::is(Bug::FailedDependencyCounts);
        let Some(workflow) = self.workflow_mut(id) else { return };
        workflow.phase = Phase::Over(outcome);
        workflow.since = at;
        workflow.stop = None;
        let dependents = workflow.dependents.clone();
        for index in dependents {
            let dependent = WorkflowId { run: id.run, index };
            if has_succeeded {
                if let Some(workflow) = self.workflow_mut(dependent) {
                    workflow.unmet = workflow.unmet.saturating_sub(1);
                }
                self.enqueue(dependent);
            } else if self.workflow(dependent).is_some_and(|workflow| workflow.phase == Phase::Waiting) {
                self.skips.insert(dependent);
            }
        }
        let Some(run) = self.runs.get_mut(&id.run) else { return };
        run.open = run.open.saturating_sub(1);
        if run.is_over() {
            self.hold_run(id.run);
        }
    }
}
