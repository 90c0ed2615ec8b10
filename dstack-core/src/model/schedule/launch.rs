//! Which offering a new runner takes: the first fitting one in the total order that may be launched now.

use std::collections::BTreeMap;

use super::pack::Packing;
use crate::model::state::Rule;
use crate::model::{Item, Needs, Plan, RuleKey, Scope, State, Tick, WaitReason, WorkflowId};

/// Launches that may still be planned.
pub(super) struct Launches<'a> {
    state: &'a State,
    tick: &'a Tick,
    wanted: BTreeMap<&'a RuleKey, u32>,
    allowance: BTreeMap<&'a Scope, u32>,
}

impl<'a> Launches<'a> {
    pub(super) const fn new(state: &'a State, tick: &'a Tick, allowance: BTreeMap<&'a Scope, u32>) -> Self {
        Self { state, tick, wanted: BTreeMap::new(), allowance }
    }

    /// Plans a runner for this workflow, or says why none can be started.
    pub(super) fn launch(
        &mut self,
        packing: &mut Packing<'a>,
        needs: &Needs,
        workflow: WorkflowId,
        plan: &mut Plan,
    ) -> Result<(), WaitReason> {
        if !self.state.is_enabled() {
            return Err(WaitReason::Disabled);
        }
        let mut obstacles = Vec::new();
        for key in &self.state.order {
            let Some(rule) = self.state.rules().get(key).filter(|rule| needs.fit(&rule.offering)) else { continue };
            match self.zone(packing, key, rule, needs) {
                Ok(zone) => {
                    *self.wanted.entry(key).or_default() += 1;
                    if let Some(left) = self.allowance.get_mut(&rule.offering.scope) {
                        *left -= 1;
                    }
                    packing.add_launch(key, &rule.offering);
                    plan.items.push(Item::Launch { rule: key.clone(), zone, for_workflow: workflow });
                    return Ok(());
                }
                Err(obstacle) => obstacles.push(obstacle),
            }
        }
        obstacles.iter().filter_map(ends_by_itself).for_each(|at| plan.wake_at(at));
        Err(worst(obstacles))
    }

    fn zone(&self, packing: &Packing<'_>, key: &RuleKey, rule: &Rule, needs: &Needs) -> Result<String, WaitReason> {
        if let Some(why) = &rule.blocked {
            return Err(WaitReason::Blocked { rule: key.clone(), why: why.clone() });
        }
        let wanted = self.wanted.get(key).copied().unwrap_or(0);
        if self.state.live_count(key).saturating_add(wanted) >= rule.max {
            return Err(WaitReason::AtMaximum(vec![key.clone()]));
        }
        if !packing.fits_pool(key, &rule.offering, needs) {
            return Err(WaitReason::PoolFull(key.clone()));
        }
        let at = self.tick.at;
        if let Some(until) = rule.paused_until.filter(|until| at < *until) {
            return Err(WaitReason::Paused { rule: key.clone(), until });
        }
        let zone = rule.offering.zones.iter().find(|zone| {
            let holds = |name: &str| rule.unavailable.get(name).is_some_and(|known| known.holds(at));
            !holds(zone) && !holds("")
        });
        let Some(zone) = zone else {
            let first = rule
                .unavailable
                .values()
                .filter(|known| known.holds(at))
                .min_by_key(|known| known.until.map_or(i64::MAX, crate::model::At::as_micros));
            return Err(WaitReason::Unavailable {
                rule: key.clone(),
                until: first.and_then(|known| known.until),
                why: first.map_or_else(|| "no zone has it".to_owned(), |known| known.why.clone()),
            });
        };
        if self.allowance.get(&rule.offering.scope).copied().unwrap_or(0) == 0 {
            return Err(WaitReason::Throttled);
        }
        Ok(zone.clone())
    }
}

const fn ends_by_itself(reason: &WaitReason) -> Option<crate::model::At> {
    match reason {
        WaitReason::Unavailable { until, .. } => *until,
        WaitReason::Paused { until, .. } => Some(*until),
        WaitReason::Disabled
        | WaitReason::NoFittingRule
        | WaitReason::AtMaximum(_)
        | WaitReason::Blocked { .. }
        | WaitReason::PoolFull(_)
        | WaitReason::Throttled => None,
    }
}

/// Of several obstacles the one that a user can do least about is not worth telling first: busy runners come last only
/// where nothing else is in the way.
fn worst(obstacles: Vec<WaitReason>) -> WaitReason {
    let mut full = Vec::new();
    let mut others = Vec::new();
    for obstacle in obstacles {
        match obstacle {
            WaitReason::AtMaximum(rules) => full.extend(rules),
            other => others.push(other),
        }
    }
    if !full.is_empty() {
        return WaitReason::AtMaximum(full);
    }
    others.into_iter().next().unwrap_or(WaitReason::NoFittingRule)
}
