//! Runners whose claims are all closed and that are still wanted: sent again under a new claim, with the same token.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::state::RunnerPhase;
use crate::model::{ClaimNumber, Item, Plan, RunnerId, Scope, State, Tick};
use crate::planted::{self, Bug};

/// How many more claims may be opened in each scope: a step claims no more than the limiter lets it send in time.
pub(super) fn allowances<'a>(
    state: &'a State,
    tick: &'a Tick,
    stopping: &BTreeSet<RunnerId>,
) -> BTreeMap<&'a Scope, u32> {
    // Nobody sends for a runner that is being stopped.
    let mut left: BTreeMap<_, _> = tick.scopes.iter().map(|(scope, known)| (scope, known.allowance)).collect();
    let starting = state.starting.iter().map(|(_, id)| id).filter(|id| !stopping.contains(id));
    for runner in starting.filter_map(|id| state.runners().get(id)) {
        if runner.open_claim().is_some()
            && let Some(left) = left.get_mut(&runner.request.scope)
        {
            *left = left.saturating_sub(1);
        }
    }
    left
}

pub(super) fn stopped_by(plan: &Plan) -> BTreeSet<RunnerId> {
    let stopped = |item: &Item| if let Item::Stop { runner, .. } = item { Some(*runner) } else { None };
    plan.items.iter().filter_map(stopped).collect()
}

pub(super) fn renew<'a>(
    state: &'a State,
    tick: &Tick,
    stopping: &BTreeSet<RunnerId>,
    left: &mut BTreeMap<&'a Scope, u32>,
    plan: &mut Plan,
) {
    for (_, id) in &state.starting {
        let Some(runner) = state.runners().get(id) else { continue };
        let is_unclaimed = runner.phase == RunnerPhase::Wanted
            && (runner.open_claim().is_none() || planted::is(Bug::ClaimRenewedOpen));
        if !is_unclaimed || stopping.contains(id) || planted::is(Bug::LookInsteadOfRedelivery) {
            continue;
        }
        if let Some(refused) = state.credentials().get(&runner.request.scope).filter(|known| known.holds(tick.at)) {
            refused.until.into_iter().for_each(|until| plan.wake_at(until));
            continue;
        }
        let Some(left) = left.get_mut(&runner.request.scope).filter(|left| **left > 0) else { continue };
        *left -= 1;
        let newest = runner.claim.as_ref().map_or(0, |claim| claim.number.0);
        plan.items.push(Item::Claim { runner: *id, claim: ClaimNumber(newest + 1) });
    }
}
