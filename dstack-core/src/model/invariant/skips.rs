//! What is skipped has a cause, and the cause is not itself skipped.

use crate::model::state::{Outcome, Phase};
use crate::model::{State, WorkflowId};

/// A skipped workflow names a workflow of its own run, before it, that ended without success and was not skipped.
///
/// # Errors
/// Names the first workflow that was skipped for something else.
pub fn skips(state: &State) -> Result<(), String> {
    for (run_id, run) in state.runs() {
        for (index, workflow) in (0..).zip(&run.workflows) {
            let Phase::Over(Outcome::Skipped { cause }) = &workflow.phase else { continue };
            let id = WorkflowId { run: *run_id, index };
            let is_root = match run.workflow(cause.index).map(|earlier| &earlier.phase) {
                Some(Phase::Over(Outcome::Failed { .. } | Outcome::Stopped | Outcome::Lost(_))) => true,
                Some(
                    Phase::Over(Outcome::Succeeded | Outcome::Skipped { .. })
                    | Phase::Waiting
                    | Phase::Assigned(_)
                    | Phase::Exited(..),
                )
                | None => false,
            };
            if cause.run != *run_id || cause.index >= index || !is_root {
                return Err(format!("workflow {id} was skipped for {cause}, which is no cause"));
            }
        }
    }
    Ok(())
}
