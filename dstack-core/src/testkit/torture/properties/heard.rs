//! What a runner was told of its end is in the log, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use super::property::{Property, Truth, Verdict};
use crate::clock::Boot;
use crate::model::state::RunnerPhase;
use crate::model::{Purchase, RunnerId, State};

/// A controller starts again within five minutes, begins with what others made owed after a minute, and tries again what
/// fails within half of one.
const BOUND: Duration = Duration::from_secs(15 * 60);

/// No runner is known to be taken back that was not told so; and while nothing fails, one that was told, and hears it, is soon
/// known to be.
#[derive(Debug, Default)]
pub struct Heard(BTreeMap<RunnerId, Boot>);

impl Property for Heard {
    fn name(&self) -> &'static str {
        "heard"
    }

    fn stepped(&mut self, truth: &Truth, state: &State) -> Verdict {
        let is_told = |machine| truth.cloud.machine(machine).is_some_and(|it| it.notice.is_some());
        let mut has_any = false;
        let mut waits = Vec::new();
        for (id, runner) in state.live_runners().filter(|(_, runner)| runner.request.rule.purchase == Purchase::Spot) {
            let Some(machine) = &runner.machine else { continue };
            if runner.noticed && !is_told(machine) {
                return Err(format!("runner {id} is known to be taken back, and its cloud has said no such thing"));
            }
            has_any |= runner.noticed;
            if truth.is_settling && !runner.noticed && runner.phase == RunnerPhase::Ready {
                waits.extend((is_told(machine) && !truth.host.is_deaf(machine)).then_some(id));
            }
        }
        self.0.retain(|id, _| waits.contains(id));
        for id in &waits {
            let since = *self.0.entry(*id).or_insert(truth.now);
            if truth.now.since(since) > BOUND {
                return Err(format!("runner {id} was told {BOUND:?} ago that it is taken back, and nobody knows"));
            }
        }
        Ok(has_any || !waits.is_empty())
    }
}
