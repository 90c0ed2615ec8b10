//! A workflow that does not share its runner is alone on it.

use crate::model::State;

/// A runner with an attempt that may not share has this one only, and knows it.
///
/// # Errors
/// Names the first runner that is shared with one that may not.
pub fn exclusive(state: &State) -> Result<(), String> {
    for (id, runner) in state.runners() {
        let is_lonely = |workflow| state.workflow(workflow).is_some_and(|workflow| !workflow.spec.needs.may_share());
        let lonely = runner.attempts.iter().filter(|attempt| is_lonely(attempt.workflow)).count();
        if runner.is_exclusive != (lonely > 0) {
            return Err(format!("runner {id} has {lonely} attempts that do not share, and says otherwise"));
        }
        if runner.is_exclusive && runner.attempts.len() != 1 {
            return Err(format!("runner {id} is one attempt's alone, but has {}", runner.attempts.len()));
        }
    }
    Ok(())
}
