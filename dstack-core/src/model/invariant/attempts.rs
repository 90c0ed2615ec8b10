//! An attempt that is not over is on one runner, which lives and knows of it.

use crate::model::{AttemptId, State, WorkflowId};

/// Each attempt that is not over is on one runner that may live and lists it, and runners list no others.
///
/// # Errors
/// Names the first attempt that is elsewhere.
pub fn attempts(state: &State) -> Result<(), String> {
    for (run_id, run) in state.runs() {
        for (index, workflow) in (0..).zip(&run.workflows) {
            let Some(on) = workflow.runner() else { continue };
            let attempt = AttemptId { workflow: WorkflowId { run: *run_id, index }, number: workflow.attempt };
            let runner = state.runners().get(&on).ok_or_else(|| format!("{attempt} is on {on}, which is unknown"))?;
            if !runner.may_live() {
                return Err(format!("{attempt} is on {on}, which is over"));
            }
            if !runner.attempts.contains(&attempt) {
                return Err(format!("{attempt} is on {on}, which does not list it"));
            }
        }
    }
    for (id, runner) in state.runners() {
        for attempt in &runner.attempts {
            let workflow = state.workflow(attempt.workflow).filter(|workflow| workflow.attempt == attempt.number);
            if workflow.and_then(|workflow| workflow.runner()) != Some(*id) {
                return Err(format!("runner {id} lists {attempt}, which is not on it"));
            }
        }
    }
    Ok(())
}
