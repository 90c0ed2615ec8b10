//! What attempts take of a runner is there.

use crate::model::State;
use crate::model::state::Used;

/// What a runner's attempts take is the sum of their needs, and no more than it has.
///
/// # Errors
/// Names the first runner of which more is taken, or where the sum is wrong.
pub fn room(state: &State) -> Result<(), String> {
    for (id, runner) in state.runners() {
        let needs = runner.attempts.iter().filter_map(|attempt| state.workflow(attempt.workflow));
        let sum = needs.fold(Used::default(), |sum, workflow| sum.plus(Used::by(&workflow.spec.needs)));
        if sum != runner.used {
            return Err(format!("attempts on {id} take {sum:?}, not {:?}", runner.used));
        }
        if !runner.used.fits_in(Used::all_of(&runner.offering)) {
            return Err(format!("of runner {id} more is taken than it has: {:?}", runner.used));
        }
    }
    Ok(())
}
