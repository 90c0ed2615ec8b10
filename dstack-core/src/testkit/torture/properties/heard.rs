//! What a runner was told of its end is in the log.

use std::collections::BTreeMap;
use std::time::Duration;

use super::property::{Property, Truth, Verdict};
use crate::clock::Boot;
use crate::model::state::RunnerPhase;
use crate::model::{Purchase, RunnerId, State};

/// A controller starts again within five minutes, begins with what others made owed after a minute, and tries again what
/// fails within half of one.
const BOUND: Duration = Duration::from_secs(15 * 60);

/// While nothing fails, a runner that was told that it is taken back, and hears it, is soon known to be.
#[derive(Debug, Default)]
pub struct Heard(BTreeMap<RunnerId, Boot>);

impl Property for Heard {
    fn name(&self) -> &'static str {
        "heard"
    }

    fn stepped(&mut self, truth: &Truth, state: &State) -> Verdict {
        if !truth.is_settling {
            return Ok(false);
        }
        let is_told = |machine| truth.cloud.machine(machine).is_some_and(|it| it.notice.is_some());
        let told: Vec<RunnerId> = state
            .live_runners()
            .filter(|(_, runner)| runner.phase == RunnerPhase::Ready && !runner.noticed)
            .filter(|(_, runner)| runner.request.rule.purchase == Purchase::Spot)
            .filter(|(_, runner)| runner.machine.as_ref().is_some_and(|id| is_told(id) && !truth.host.is_deaf(id)))
            .map(|(id, _)| id)
            .collect();
        self.0.retain(|id, _| told.contains(id));
        for id in &told {
            let since = *self.0.entry(*id).or_insert(truth.now);
            if truth.now.since(since) > BOUND {
                return Err(format!("runner {id} was told {BOUND:?} ago that it is taken back, and nobody knows"));
            }
        }
        Ok(!told.is_empty())
    }
}
