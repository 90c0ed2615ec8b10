//! A run counts its open workflows right.

use crate::model::State;

/// A run's open workflows are those announced that are not over; the runs that are over are the finished ones.
///
/// # Errors
/// Names the first run with another count.
pub fn open(state: &State) -> Result<(), String> {
    for (id, run) in state.runs() {
        let over = run.workflows.iter().filter(|workflow| workflow.is_over()).count();
        if usize::try_from(run.announced) != Ok(over + usize::try_from(run.open).unwrap_or(usize::MAX)) {
            return Err(format!("run {id} has {} open of {}, but {over} are over", run.open, run.announced));
        }
        if run.is_over() != state.finished.contains(id) {
            return Err(format!("run {id} is over, or not, and is listed otherwise"));
        }
    }
    Ok(())
}
