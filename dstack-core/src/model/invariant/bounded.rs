//! What is over and still kept has a bound.

use std::collections::BTreeSet;

use crate::model::State;
use crate::model::state::{MAX_FINISHED_RUNS, MAX_STOPPED_RUNNERS};

/// At most so many runs and runners that are over are kept, each listed once and known.
///
/// # Errors
/// Says which list is too long or wrong.
pub fn bounded(state: &State) -> Result<(), String> {
    if state.finished.len() > MAX_FINISHED_RUNS || state.stopped.len() > MAX_STOPPED_RUNNERS {
        return Err(format!(
            "{} runs and {} runners that are over are kept",
            state.finished.len(),
            state.stopped.len()
        ));
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
    Ok(())
}
