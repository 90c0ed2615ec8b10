//! No rule has more runners than its maximum, but for those that are being shut down.

use crate::model::State;
use crate::model::state::RunnerPhase;

/// Of each rule no more runners live, without being shut down, than its maximum says; of a removed rule none.
///
/// # Errors
/// Names the first rule with more.
pub fn cap(state: &State) -> Result<(), String> {
    for key in state.live.keys() {
        let max = state.rules().get(key).map_or(0, |rule| rule.max);
        let kept = state.live_of(key).filter(|(_, runner)| runner.phase != RunnerPhase::Stopping).count();
        if kept > usize::try_from(max).unwrap_or(usize::MAX) {
            return Err(format!("{kept} runners of {key} live and are not shut down, but {max} may"));
        }
    }
    Ok(())
}
