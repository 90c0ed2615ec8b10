//! Workflows and runners stopped by hand.

use crate::model::event::{RunnerStopping, StopRequested};
use crate::model::state::RunnerPhase;
use crate::model::{Event, Rejection, RunId, RunnerId, State, StopReason, WorkflowId};

pub(super) fn stop(
    state: &State,
    run: RunId,
    workflow: Option<WorkflowId>,
    abort: bool,
) -> Result<Vec<Event>, Rejection> {
    let found = state.runs().get(&run).ok_or(Rejection::NoSuchWorkflow)?;
    let wanted: Vec<WorkflowId> = match workflow {
        Some(id) => {
            let one = state.workflow(id).filter(|_| id.run == run).ok_or(Rejection::NoSuchWorkflow)?;
            if one.is_over() {
                return Err(Rejection::AlreadyOver(format!("{}/{}", found.name, one.spec.name)));
            }
            vec![id]
        }
        None if found.is_over() => return Err(Rejection::AlreadyOver(format!("run {}", found.name))),
        // Those that depend on others first, so that none is skipped for what is stopped with it.
        None => {
            let open = (0..).zip(&found.workflows).filter(|(_, workflow)| !workflow.is_over());
            let mut open: Vec<_> = open.map(|(index, _)| WorkflowId { run, index }).collect();
            open.reverse();
            open
        }
    };
    Ok(wanted.into_iter().map(|workflow| StopRequested { workflow, abort }.into()).collect())
}

pub(super) fn stop_runner(state: &State, id: RunnerId) -> Result<Vec<Event>, Rejection> {
    let runner = state.runners().get(&id).ok_or(Rejection::NoSuchRunner)?;
    match runner.phase {
        RunnerPhase::Stopping => Ok(Vec::new()),
        RunnerPhase::Stopped(_) => Err(Rejection::AlreadyOver(format!("runner {id}"))),
        RunnerPhase::Wanted | RunnerPhase::Launched | RunnerPhase::Ready => {
            Ok(vec![RunnerStopping { runner: id, reason: StopReason::ByHand }.into()])
        }
    }
}
