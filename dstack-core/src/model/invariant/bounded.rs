//! What is over and still kept has a bound.

use std::collections::BTreeSet;

use crate::model::State;
use crate::model::state::{MAX_HELD_RUNNERS, MAX_HELD_WORKFLOWS, MAX_PAST};

/// At most so much that is over is held and remembered, each thing in one place.
///
/// # Errors
/// Says which list is too long or wrong.
pub fn bounded(state: &State) -> Result<(), String> {
    if state.held_workflows > MAX_HELD_WORKFLOWS || state.stopped.len() > MAX_HELD_RUNNERS {
        return Err(format!(
            "{} workflows and {} runners that are over are held",
            state.held_workflows,
            state.stopped.len()
        ));
    }
    if state.past_runs.len() > MAX_PAST || state.past_runners.len() > MAX_PAST || !state.left.is_empty() {
        return Err("too much of what has left is remembered".to_owned());
    }
    let stopped: BTreeSet<_> = state.stopped.iter().collect();
    let over: BTreeSet<_> = state.runners().iter().filter(|(_, runner)| !runner.may_live()).map(|(id, _)| id).collect();
    if stopped.len() != state.stopped.len() || stopped != over {
        return Err("the list of runners that are over is not the runners that are over".to_owned());
    }
    let finished: BTreeSet<_> = state.finished.iter().collect();
    let ended: BTreeSet<_> = state.runs().iter().filter(|(_, run)| run.is_over()).map(|(id, _)| id).collect();
    if finished.len() != state.finished.len() || finished != ended {
        return Err("the list of runs that are over is not the runs that are over".to_owned());
    }
    let is_in_both = state.past_runs.iter().any(|id| state.runs().contains_key(id))
        || state.past_runners.iter().any(|(id, _)| state.runners().contains_key(id));
    if is_in_both {
        return Err("something is held that is said to have left".to_owned());
    }
    Ok(())
}
