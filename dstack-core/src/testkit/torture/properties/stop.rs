//! Stop means stop.

use super::property::{Property, Truth, Verdict};
use std::collections::BTreeSet;

use crate::model::state::RunnerPhase;
use crate::model::{Event, Record, State, StopReason, WorkflowId};

/// Once autoscaling is off, a rule is gone or a workflow is to stop, no record starts anything for it; a runner that is
/// stopped for being idle is idle.
#[derive(Debug, Default)]
pub struct Stop {
    /// What its user has stopped, whatever the state makes of that.
    stopped: BTreeSet<WorkflowId>,
}

impl Property for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    fn record(&mut self, _truth: &Truth, before: &State, record: &Record) -> Verdict {
        match record.event() {
            Some(Event::RunnerWanted(wanted)) => {
                let rule = &wanted.request.rule;
                if !before.is_enabled() || !before.rules().contains_key(rule) {
                    return Err(format!("a runner of {rule} is wanted, which is off"));
                }
                Ok(true)
            }
            Some(Event::ClaimMade(made)) if !before.is_enabled() => {
                Err(format!("runner {} is claimed while autoscaling is off", made.runner))
            }
            Some(Event::AttemptAssigned(assigned)) => {
                if self.stopped.contains(&assigned.attempt.workflow) {
                    return Err(format!("{} is assigned, though it is to stop", assigned.attempt));
                }
                Ok(true)
            }
            Some(Event::StopRequested(asked)) => {
                self.stopped.insert(asked.workflow);
                Ok(false)
            }
            Some(Event::RunnerStopping(stopping)) if stopping.reason == StopReason::Idle => {
                let runner = before.runners().get(&stopping.runner);
                match runner.map_or(0, |runner| runner.attempts.len()) {
                    0 => Ok(true),
                    busy => Err(format!("runner {} is stopped for being idle with {busy} attempts", stopping.runner)),
                }
            }
            _ => Ok(false),
        }
    }

    fn appended(&mut self, _truth: &Truth, state: &State) -> Verdict {
        if state.is_enabled() {
            return Ok(false);
        }
        match state.live_runners().find(|(_, runner)| runner.phase != RunnerPhase::Stopping) {
            Some((id, runner)) => Err(format!("runner {id} is {:?} while autoscaling is off", runner.phase)),
            None => Ok(true),
        }
    }
}
