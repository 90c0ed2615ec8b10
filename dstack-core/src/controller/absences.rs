//! How long this controller has waited, by its own clock, for machines that looks do not show.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Boot;
use crate::cloud::Look;
use crate::model::state::Runner;
use crate::model::{MachineId, State, Token};
use crate::planted::{self, Bug};

/// What a wait is for: when it changes, the wait begins anew.
type Awaited = (Option<MachineId>, u32, bool);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wait {
    awaited: Awaited,
    /// Since when it has been so, or when the newest look that saw the machine began.
    since: Boot,
    /// When the first look that missed it began, with none since that saw it.
    missed: Option<Boot>,
}

/// Waits of this controller. Log time may jump when a clock is set: what proves that a machine is gone takes its time on a
/// clock that does not. They are not in the log: after a restart they begin anew.
#[derive(Debug, Default)]
pub(super) struct Absences(BTreeMap<Token, Wait>);

fn awaited(runner: &Runner) -> Awaited {
    let claim = runner.claim.as_ref();
    (runner.machine.clone(), claim.map_or(0, |claim| claim.number.0), claim.is_some_and(|claim| claim.end.is_some()))
}

impl Absences {
    /// Takes in what is known of runners now.
    pub(super) fn note(&mut self, state: &State, now: Boot) {
        let mut alive = BTreeSet::new();
        for (_, runner) in state.live_runners() {
            let awaited = awaited(runner);
            alive.insert(&runner.token);
            match self.0.get_mut(&runner.token) {
                Some(wait) if wait.awaited == awaited => {}
                Some(wait) => *wait = Wait { awaited, since: now, missed: None },
                None => {
                    self.0.insert(runner.token.clone(), Wait { awaited, since: now, missed: None });
                }
            }
        }
        self.0.retain(|token, _| alive.contains(token));
    }

    /// Takes in a look that began at this moment, and leaves those absences in it that have been waited for long enough.
    pub(super) fn judge(&mut self, state: &State, began: Boot, look: &mut Look) {
        let bugs = [Bug::LogTimeProves, Bug::EarlyLookCounts, Bug::LookInsteadOfRedelivery, Bug::FailedLookCounts];
        if bugs.into_iter().any(planted::is) {
            return;
        }
        for token in look.machines.iter().filter_map(|seen| seen.token.as_ref()) {
            if let Some(wait) = self.0.get_mut(token) {
                (wait.since, wait.missed) = (wait.since.max(began), None);
            }
        }
        let timings: BTreeMap<_, _> =
            state.live_runners().map(|(_, runner)| (&runner.token, runner.request.timing)).collect();
        look.absent.retain(|absence| {
            let (Some(wait), Some(timing)) = (self.0.get_mut(&absence.0), timings.get(&absence.0)) else {
                return false;
            };
            let has_settled = began.since(wait.since) >= timing.settle.to_std() || planted::is(Bug::SettleSkipped);
            let first = *wait.missed.get_or_insert(began);
            let is_missed_again = planted::is(Bug::OneLookProves)
                || wait.awaited.0.is_none()
                || began.since(first) >= timing.looks_apart.to_std();
            has_settled && is_missed_again
        });
    }
}
