//! Timers that stop runners: not launched, not ready, idle.
//!
//! A timer fires only after a complete look that began after it ran out: a machine that slept looks before it judges.

use std::collections::{BTreeMap, BTreeSet};

use super::launch::Launches;
use crate::model::state::{Runner, RunnerPhase};
use crate::model::{At, Item, Plan, RuleKey, RunnerId, Scope, Span, State, StopReason, Tick};
use crate::planted::{self, Bug};

/// Runners that should have been launched or ready by now, and those that would have to be sent for again and that nobody needs
/// any more.
pub(super) fn stop_overdue(state: &State, tick: &Tick, plan: &mut Plan) {
    for (_, id) in &state.starting {
        let Some(runner) = state.runners().get(id) else { continue };
        if is_unsent(runner) && !is_of_use(state, runner) {
            plan.items.push(Item::Stop { runner: *id, reason: StopReason::Idle });
            continue;
        }
        let (span, reason) = match runner.phase {
            RunnerPhase::Wanted => (state.settings().launch_timeout, StopReason::LaunchTimeout),
            RunnerPhase::Launched => (state.settings().boot_timeout, StopReason::BootTimeout),
            RunnerPhase::Ready | RunnerPhase::Stopping | RunnerPhase::Stopped(_) => continue,
        };
        let deadline = since(state, runner).plus(span);
        if has_fired(tick, &runner.request.scope, deadline) {
            plan.items.push(Item::Stop { runner: *id, reason });
        } else {
            await_timer(tick, &runner.request.scope, deadline, plan);
        }
    }
}

/// Whether it is wanted, and nobody may send for it without a new claim.
fn is_unsent(runner: &Runner) -> bool {
    runner.phase == RunnerPhase::Wanted && runner.open_claim().is_none()
}

/// Whether something that waits could use it, or its rule has a minimum.
fn is_of_use(state: &State, runner: &Runner) -> bool {
    state.rules().get(&runner.request.rule).is_some_and(|rule| rule.min > 0)
        || state.queue().heads().any(|(_, head)| head.shape.needs.fit(&runner.offering))
}

/// While the credentials are not accepted nothing happens, and a launch is not late.
fn since(state: &State, runner: &Runner) -> At {
    let refused = state.credentials().get(&runner.request.scope).and_then(|known| known.until);
    match (runner.phase, refused) {
        (RunnerPhase::Wanted, Some(until)) => runner.since.max(until),
        (_, _) => runner.since,
    }
}

/// Runners of a rule that are not on their way out.
pub(super) fn alive(state: &State, rule: &RuleKey, stopping: &BTreeSet<RunnerId>) -> u32 {
    let stays =
        |(id, runner): &(RunnerId, &Runner)| (runner.is_starting() || runner.takes_work()) && !stopping.contains(id);
    u32::try_from(state.live_of(rule).filter(stays).count()).unwrap_or(u32::MAX)
}

/// Ready runners without work that this plan gives none, and that were idle for long enough; of a rule with a minimum no more
/// than it has above that.
pub(super) fn stop_idle<'a>(
    state: &'a State,
    tick: &Tick,
    used: &BTreeSet<RunnerId>,
    stopping: &BTreeSet<RunnerId>,
    launches: &Launches<'_>,
    plan: &mut Plan,
) {
    let mut spare: BTreeMap<&'a RuleKey, u32> = BTreeMap::new();
    if state.is_enabled() {
        spare.extend(state.warm.iter().filter_map(|key| {
            let alive = alive(state, key, stopping).saturating_add(launches.planned(key));
            Some((key, alive.saturating_sub(state.rules().get(key)?.min)))
        }));
    }
    for (since, id) in &state.idle {
        let Some(runner) = state.runners().get(id) else { continue };
        if used.contains(id) && !planted::is(Bug::BusyStopped) {
            continue;
        }
        if runner.noticed {
            plan.items.push(Item::Stop { runner: *id, reason: StopReason::Interrupted });
            continue;
        }
        let mut spare = spare.get_mut(&runner.request.rule);
        if spare.as_ref().is_some_and(|spare| **spare == 0) {
            continue;
        }
        let span = idle_timeout(state, runner);
        let deadline = since.plus(span);
        if span == Span::ZERO || has_fired(tick, &runner.request.scope, deadline) {
            plan.items.push(Item::Stop { runner: *id, reason: StopReason::Idle });
            if let Some(spare) = &mut spare {
                **spare -= 1;
            }
        } else {
            await_timer(tick, &runner.request.scope, deadline, plan);
        }
    }
}

/// Runners that share this machine cost nothing to start again: they go at once.
fn idle_timeout(state: &State, runner: &Runner) -> Span {
    if runner.offering.pooled { Span::ZERO } else { state.settings().idle_timeout }
}

/// A timer that has run out waits for a look of its own scope; no other scope is looked at for it.
fn await_timer(tick: &Tick, scope: &Scope, deadline: At, plan: &mut Plan) {
    if tick.at < deadline {
        plan.wake_at(deadline);
        return;
    }
    let newest = plan.overdue.entry(scope.clone()).or_insert(deadline);
    *newest = deadline.max(*newest);
}

fn has_fired(tick: &Tick, scope: &Scope, deadline: At) -> bool {
    let looked = tick.scopes.get(scope).and_then(|scope| scope.last_look);
    tick.at >= deadline && looked.is_some_and(|began| began >= deadline) && !planted::is(Bug::TimersDead)
}
