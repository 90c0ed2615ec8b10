//! A runner's phase and what is known of it agree.

use crate::model::State;
use crate::model::state::RunnerPhase;

/// A wanted runner has no machine, a launched or ready one has; what stops has its reason; nothing is in use of what is over.
///
/// # Errors
/// Names the first runner whose phase and facts disagree.
pub fn life(state: &State) -> Result<(), String> {
    for (id, runner) in state.runners() {
        let has_machine = runner.machine.is_some() && runner.launched.is_some();
        let agrees = match runner.phase {
            RunnerPhase::Wanted => runner.machine.is_none() && runner.stop.is_none() && runner.attempts.is_empty(),
            RunnerPhase::Launched => has_machine && runner.stop.is_none() && runner.attempts.is_empty(),
            RunnerPhase::Ready => {
                has_machine && runner.stop.is_none() && runner.attempts.is_empty() == runner.idle_since.is_some()
            }
            RunnerPhase::Stopping => runner.stop.is_some() && runner.idle_since.is_none(),
            RunnerPhase::Stopped(_) => {
                runner.stop.is_some() && runner.idle_since.is_none() && runner.attempts.is_empty()
            }
        };
        if !agrees {
            return Err(format!("runner {id} is {:?}, which what is known of it contradicts", runner.phase));
        }
    }
    Ok(())
}
