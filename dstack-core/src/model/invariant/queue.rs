//! The queue holds what waits for nothing but a runner.

use std::collections::BTreeSet;

use crate::model::state::{Outcome, Phase};
use crate::model::{State, WorkflowId};

/// A workflow is in the queue if and only if it waits and everything that it depends on has succeeded.
///
/// # Errors
/// Names the first workflow that is there and should not be, or should be and is not.
pub fn queue(state: &State) -> Result<(), String> {
    let queued: BTreeSet<WorkflowId> =
        state.queue().shapes().flat_map(|(_, keys)| keys.iter().map(|key| key.workflow)).collect();
    if queued.len() != state.queue().len() {
        return Err(format!("the queue says {} and holds {}", state.queue().len(), queued.len()));
    }
    let mut found = 0;
    for (run_id, run) in state.runs() {
        for (index, workflow) in (0..).zip(&run.workflows) {
            let id = WorkflowId { run: *run_id, index };
            let has_succeeded = |index: &u32| {
                run.workflow(*index).is_some_and(|earlier| earlier.phase == Phase::Over(Outcome::Succeeded))
            };
            let unmet = workflow.spec.depends_on.iter().filter(|index| !has_succeeded(index)).count();
            if usize::try_from(workflow.unmet) != Ok(unmet) {
                return Err(format!("workflow {id} counts {} unmet dependencies of {unmet}", workflow.unmet));
            }
            let is_due = workflow.phase == Phase::Waiting && unmet == 0;
            if is_due != queued.contains(&id) {
                return Err(format!("workflow {id} is {} the queue", if is_due { "not in" } else { "wrongly in" }));
            }
            found += usize::from(is_due);
        }
    }
    if found == queued.len() { Ok(()) } else { Err("the queue holds workflows that are unknown".to_owned()) }
}
