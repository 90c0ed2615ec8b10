//! Only a runner without a machine has an open claim.

use crate::model::State;
use crate::model::state::RunnerPhase;

/// A claim is open only on a runner that is wanted, or was when it was made, and has no machine yet; an ended claim's end
/// has its time.
///
/// # Errors
/// Names the first runner with another claim.
pub fn claims(state: &State) -> Result<(), String> {
    for (id, runner) in state.runners() {
        let may_be_open =
            matches!(runner.phase, RunnerPhase::Wanted | RunnerPhase::Stopping) && runner.machine.is_none();
        if runner.open_claim().is_some() && !may_be_open {
            return Err(format!("runner {id} has an open claim as {:?}", runner.phase));
        }
        let is_ended = runner.claim.as_ref().is_some_and(|claim| claim.end.is_some());
        if is_ended != runner.claim_closed.is_some() {
            return Err(format!("runner {id} has an ended claim without its time, or a time without it"));
        }
        if runner.claim.as_ref().is_some_and(|claim| claim.number.0 == 0) {
            return Err(format!("runner {id} has a claim before the first"));
        }
    }
    Ok(())
}
