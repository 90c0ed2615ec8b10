//! The policy's entrance.

use super::launch::Launches;
use super::pack::Pools;
use super::{claims, queue, skip, timers};
use crate::model::{Plan, State, Tick};
use crate::planted::{self, Bug};

/// What should change now, and why the rest waits.
///
/// Applied to the state that its events lead to, it plans nothing more. Its cost grows with the shapes that wait, the rules,
/// the runners that are starting and the decisions made; not with the workflows that wait or the runners that are busy.
pub fn schedule(state: &State, tick: &Tick) -> Plan {
    plan_with_pools(state, tick).0
}

/// The plan, and what runners that share a machine take of it once the plan is done.
pub(super) fn plan_with_pools<'a>(state: &'a State, tick: &'a Tick) -> (Plan, Pools<'a>) {
    let mut plan = Plan::default();
    if state.unreadable().is_some() || state.log().is_none() {
        return (plan, Pools::default());
    }
    if !planted::is(Bug::SkipForgotten) {
        skip::skip_hopeless(state, &mut plan);
    }
    timers::stop_overdue(state, tick, &mut plan);
    let stopping = claims::stopped_by(&plan);
    let mut allowances = claims::allowances(state, tick, &stopping);
    claims::renew(state, tick, &stopping, &mut allowances, &mut plan);
    let mut launches = Launches::new(state, tick, allowances);
    let (used, pools) = queue::walk(state, tick, &stopping, &mut launches, &mut plan);
    launches.fill(|rule| timers::alive(state, rule, &stopping), &mut plan);
    timers::stop_idle(state, tick, &used, &stopping, &launches, &mut plan);
    (plan, pools)
}

impl Plan {
    pub(super) fn wake_at(&mut self, at: crate::model::At) {
        self.next_wake = Some(self.next_wake.map_or(at, |earlier| earlier.min(at)));
    }
}
