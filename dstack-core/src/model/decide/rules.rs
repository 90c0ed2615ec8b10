//! Rules allowed, lowered and removed; autoscaling switched off. The surplus is shut down in the same append.

use std::cmp::Reverse;

use crate::model::event::{AutoscalingDisabled, RuleAllowed, RuleRemoved, RunnerStopping};
use crate::model::state::{Phase, Runner, RunnerPhase};
use crate::model::{At, Event, Offering, Rejection, RuleFilter, RuleKey, RunnerId, State, StopReason};

pub(super) fn allow(state: &State, offering: Offering, max: u32) -> Vec<Event> {
    let key = offering.rule_key();
    let mut events = vec![RuleAllowed { max, offering }.into()];
    events.extend(stopping(victims(state, &key, max), &StopReason::MaxLowered));
    events
}

pub(super) fn remove(state: &State, filter: &RuleFilter) -> Result<Vec<Event>, Rejection> {
    let matches = |key: &&RuleKey| {
        filter.instance_type.as_ref().is_none_or(|name| *name == key.instance_type)
            && filter.region.as_ref().is_none_or(|name| *name == key.region)
            && filter.purchase.is_none_or(|purchase| purchase == key.purchase)
    };
    let removed: Vec<_> = state.rules().keys().filter(matches).cloned().collect();
    if removed.is_empty() {
        if *filter == RuleFilter::default() {
            return Ok(Vec::new());
        }
        let known: Vec<_> = state.rules().keys().map(ToString::to_string).collect();
        return Err(Rejection::NoSuchRule { known: (!known.is_empty()).then(|| known.join(", ")) });
    }
    let mut events = Vec::new();
    for rule in removed {
        let surplus = victims(state, &rule, 0);
        events.push(RuleRemoved { rule }.into());
        events.extend(stopping(surplus, &StopReason::RuleRemoved));
    }
    Ok(events)
}

pub(super) fn disable(state: &State) -> Vec<Event> {
    let mut events = Vec::new();
    if state.is_enabled() {
        events.push(AutoscalingDisabled {}.into());
    }
    let running = state.live_runners().filter(|(_, runner)| runner.phase != RunnerPhase::Stopping);
    events.extend(stopping(running.map(|(id, _)| id).collect(), &StopReason::Disabled));
    events
}

/// The runners that a maximum of `max` for this rule would shut down, in the order in which they are chosen: not launched
/// yet, idle, then the one whose attempt started last; those that bring results home go last of all.
///
/// A preview shows exactly what the change will do.
pub fn victims(state: &State, rule: &RuleKey, max: u32) -> Vec<RunnerId> {
    let mut running: Vec<_> = state.live_of(rule).filter(|(_, runner)| runner.phase != RunnerPhase::Stopping).collect();
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

pub(super) fn stopping(runners: Vec<RunnerId>, reason: &StopReason) -> impl Iterator<Item = Event> + '_ {
    runners.into_iter().map(move |runner| RunnerStopping { runner, reason: reason.clone() }.into())
}
