//! Timers that stop runners: not launched, not ready, idle.
//!
//! A timer fires only after a complete look that began after it ran out: a machine that slept looks before it judges.

use std::collections::BTreeSet;

use crate::model::state::{Runner, RunnerPhase};
use crate::model::{At, Item, Plan, RunnerId, Scope, Span, State, StopReason, Tick};

/// Runners that should have been launched or ready by now.
pub(super) fn stop_overdue(state: &State, tick: &Tick, plan: &mut Plan) {
    for (_, id) in &state.starting {
        let Some(runner) = state.runners().get(id) else { continue };
        let (span, reason) = match runner.phase {
            RunnerPhase::Wanted => (state.settings().launch_timeout, StopReason::LaunchTimeout),
            RunnerPhase::Launched => (state.settings().boot_timeout, StopReason::BootTimeout),
            RunnerPhase::Ready | RunnerPhase::Stopping | RunnerPhase::Stopped(_) => continue,
        };
        let deadline = runner.since.plus(span);
        if has_fired(tick, &runner.request.scope, deadline) {
            plan.items.push(Item::Stop { runner: *id, reason });
        } else {
            await_timer(tick, &runner.request.scope, deadline, plan);
        }
    }
}

/// Ready runners without work that this plan gives none, and that were idle for long enough.
pub(super) fn stop_idle(state: &State, tick: &Tick, used: &BTreeSet<RunnerId>, plan: &mut Plan) {
    for (since, id) in &state.idle {
        let Some(runner) = state.runners().get(id) else { continue };
        if used.contains(id) {
            continue;
        }
        if runner.noticed {
            plan.items.push(Item::Stop { runner: *id, reason: StopReason::Interrupted });
            continue;
        }
        let span = idle_timeout(state, runner);
        let deadline = since.plus(span);
        if span == Span::ZERO || has_fired(tick, &runner.request.scope, deadline) {
            plan.items.push(Item::Stop { runner: *id, reason: StopReason::Idle });
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
    tick.at >= deadline && looked.is_some_and(|began| began >= deadline)
}
