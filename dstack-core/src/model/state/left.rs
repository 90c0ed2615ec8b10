//! What is over and no longer held.

use super::machine::{Runner, RunnerPhase};
use super::run::Run;
use super::state::State;
use crate::model::{Certificate, RunId, RunnerId};

/// Workflows of runs that are over and still held in the state. Runs beyond that leave it, the oldest first; a run that has
/// more leaves at once.
pub const MAX_HELD_WORKFLOWS: usize = 100;
/// Runners that are over and still held in the state.
pub const MAX_HELD_RUNNERS: usize = 100;
/// Runs, and runners, that have left the state and whose ids it still knows: what is said again of them is no news.
pub const MAX_PAST: usize = 1_000;

/// What has left the state with a record, as it was then: it never changes again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Runs whose workflows are all over.
    pub runs: Vec<(RunId, Run)>,
    /// Runners that cannot be alive.
    pub runners: Vec<(RunnerId, Runner)>,
}

impl Left {
    /// Whether nothing has left.
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.runners.is_empty()
    }

    /// Adds what left later.
    pub fn append(&mut self, mut later: Self) {
        self.runs.append(&mut later.runs);
        self.runners.append(&mut later.runners);
    }
}

impl State {
    /// A run is over: it is held for a while, and others leave for it.
    pub(crate) fn hold_run(&mut self, id: RunId) {
        self.open_runs.remove(&id);
        self.finished.push_back(id);
        self.held_workflows += self.runs.get(&id).map_or(0, |run| run.workflows.len());
        while self.held_workflows > MAX_HELD_WORKFLOWS {
            let Some(oldest) = self.finished.pop_front() else { break };
            let Some(run) = self.runs.remove(&oldest) else { continue };
            self.held_workflows -= run.workflows.len();
            self.left.runs.push((oldest, run));
            self.past_runs.push_back(oldest);
            if self.past_runs.len() > MAX_PAST {
                self.past_runs.pop_front();
            }
        }
    }

    /// A runner is over: it is held for a while, and others leave for it.
    pub(crate) fn hold_runner(&mut self, id: RunnerId) {
        self.stopped.push_back(id);
        while self.stopped.len() > MAX_HELD_RUNNERS {
            let Some(oldest) = self.stopped.pop_front() else { break };
            let Some(runner) = self.runners.remove(&oldest) else { continue };
            // Only of these is it certain that a machine that is still shown is one that was.
            let has_ended = matches!(runner.phase, RunnerPhase::Stopped(Certificate::Terminated | Certificate::Ended));
            self.past_runners.push_back((oldest, runner.machine.clone().filter(|_| has_ended)));
            self.left.runners.push((oldest, runner));
            if self.past_runners.len() > MAX_PAST {
                self.past_runners.pop_front();
            }
        }
    }

    /// Whether this id is known to be a run's, over or not.
    pub(crate) fn knows_run(&self, id: RunId) -> bool {
        self.runs.contains_key(&id) || self.past_runs.contains(&id)
    }

    /// Whether this id is known to be a runner's, over or not.
    pub(crate) fn knows_runner(&self, id: RunnerId) -> bool {
        self.runners.contains_key(&id) || self.past_runners.iter().any(|(past, _)| *past == id)
    }

    /// Counts again what is held.
    pub(crate) fn count_held(&mut self) {
        let held = self.finished.iter().filter_map(|id| self.runs.get(id));
        self.held_workflows = held.map(|run| run.workflows.len()).sum();
    }
}
