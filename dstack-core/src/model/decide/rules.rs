//! Rules allowed, lowered and removed; autoscaling switched off. The surplus is shut down in the same append.

use std::cmp::Reverse;

use crate::model::event::{AutoscalingDisabled, RuleAllowed, RuleRemoved, RunnerStopping};
use crate::model::state::{Phase, Runner, RunnerPhase};
use crate::model::{
    At, AttemptId, Command, Event, Offering, Rejection, RuleFilter, RuleKey, RunnerId, State, StopReason,
};
use crate::planted::{self, Bug};

pub(super) fn allow(state: &State, offering: Offering, max: u32, min: u32) -> Result<Vec<Event>, Rejection> {
    if min > max {
        return Err(Rejection::MinimumAboveMaximum { min, max });
    }
    let victims = shrunk(state, victims(state, &offering.rule_key(), max), &StopReason::MaxLowered);
    let mut events = vec![RuleAllowed { max, min, offering }.into()];
    if !planted::is(Bug::LoweredKeeps) {
        events.extend(victims.iter().map(Victim::event));
    }
    Ok(events)
}

pub(super) fn remove(state: &State, filter: &RuleFilter) -> Result<Vec<Event>, Rejection> {
    let removed: Vec<_> = matching(state, filter).cloned().collect();
    if removed.is_empty() {
        if *filter == RuleFilter::default() {
            return Ok(Vec::new());
        }
        let known: Vec<_> = state.rules().keys().map(ToString::to_string).collect();
        return Err(Rejection::NoSuchRule { known: (!known.is_empty()).then(|| known.join(", ")) });
    }
    let mut events = Vec::new();
    for rule in removed {
        let surplus = shrunk(state, victims(state, &rule, 0), &StopReason::RuleRemoved);
        events.push(RuleRemoved { rule }.into());
        if !planted::is(Bug::RemovedKeeps) {
            events.extend(surplus.iter().map(Victim::event));
        }
    }
    Ok(events)
}

pub(super) fn disable(state: &State) -> Vec<Event> {
    let mut events = Vec::new();
    if state.is_enabled() {
        events.push(AutoscalingDisabled {}.into());
    }
    if !planted::is(Bug::DisableKeeps) {
        events.extend(disabled(state).iter().map(Victim::event));
    }
    events
}

fn matching<'a>(state: &'a State, filter: &'a RuleFilter) -> impl Iterator<Item = &'a RuleKey> {
    state.rules().keys().filter(|key| {
        filter.instance_type.as_ref().is_none_or(|name| *name == key.instance_type)
            && filter.region.as_ref().is_none_or(|name| *name == key.region)
            && filter.purchase.is_none_or(|purchase| purchase == key.purchase)
    })
}

/// A runner that a change would shut down, and what runs on it: that goes back to the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// The runner.
    pub runner: RunnerId,
    /// Why it would be.
    pub reason: StopReason,
    /// What is on it and not over.
    pub attempts: Vec<AttemptId>,
}

impl Victim {
    fn event(&self) -> Event {
        RunnerStopping { runner: self.runner, reason: self.reason.clone() }.into()
    }
}

/// The runners that this command would shut down in this state, in that order; none for a command that would be refused.
///
/// What is shown before a change is made is exactly what [`decide`](super::decide()) then says.
pub fn preview(state: &State, command: &Command) -> Vec<Victim> {
    match command {
        Command::Allow { min, max, .. } if min > max => Vec::new(),
        Command::Allow { offering, max, min: _ } => {
            shrunk(state, victims(state, &offering.rule_key(), *max), &StopReason::MaxLowered)
        }
        Command::Remove(filter) => {
            let surplus = |rule| shrunk(state, victims(state, rule, 0), &StopReason::RuleRemoved);
            matching(state, filter).flat_map(surplus).collect()
        }
        Command::Disable => disabled(state),
        Command::StopRunner(id) => {
            let runner = state.runners().get(id).filter(|runner| may_be_stopped(runner));
            shrunk(state, runner.map(|_| *id).into_iter().collect(), &StopReason::ByHand)
        }
        Command::Enable | Command::Set(_) | Command::Submit(_) | Command::Stop { .. } => Vec::new(),
    }
}

fn disabled(state: &State) -> Vec<Victim> {
    let running = state.live_runners().filter(|(_, runner)| may_be_stopped(runner)).map(|(id, _)| id).collect();
    shrunk(state, running, &StopReason::Disabled)
}

fn shrunk(state: &State, runners: Vec<RunnerId>, reason: &StopReason) -> Vec<Victim> {
    let attempts = |id: &RunnerId| state.runners().get(id).map(|runner| runner.attempts.iter().copied().collect());
    let victim =
        |runner: RunnerId| Victim { runner, reason: reason.clone(), attempts: attempts(&runner).unwrap_or_default() };
    runners.into_iter().map(victim).collect()
}

const fn may_be_stopped(runner: &Runner) -> bool {
    match runner.phase {
        RunnerPhase::Wanted | RunnerPhase::Launched | RunnerPhase::Ready => true,
        RunnerPhase::Stopping | RunnerPhase::Stopped(_) => false,
    }
}

/// The runners that a maximum of `max` for this rule would shut down, in the order in which they are chosen: not launched
/// yet, idle, then the one whose attempt started last; those that bring results home go last of all.
pub fn victims(state: &State, rule: &RuleKey, max: u32) -> Vec<RunnerId> {
    let mut running: Vec<_> = state.live_of(rule).filter(|(_, runner)| may_be_stopped(runner)).collect();
    let surplus = running.len().saturating_sub(usize::try_from(max).unwrap_or(usize::MAX));
    running.sort_by_key(|(id, runner)| (worth(state, runner), *id));
    running.into_iter().take(surplus).map(|(id, _)| id).collect()
}

/// How much a runner is worth keeping: the least goes first.
fn worth(state: &State, runner: &Runner) -> (u8, Reverse<At>) {
    let workflows = || runner.attempts.iter().filter_map(|attempt| state.workflow(attempt.workflow));
    let newest = Reverse(workflows().filter_map(|workflow| workflow.started).max().unwrap_or(runner.wanted));
    let is_collecting = workflows().any(|workflow| matches!(workflow.phase, Phase::Exited(..)));
    let rank = match runner.phase {
        RunnerPhase::Wanted => 0,
        RunnerPhase::Launched => 1,
        RunnerPhase::Ready | RunnerPhase::Stopping | RunnerPhase::Stopped(_) => {
            if runner.attempts.is_empty() {
                2
            } else if is_collecting {
                4
            } else {
                3
            }
        }
    };
    (rank, newest)
}
