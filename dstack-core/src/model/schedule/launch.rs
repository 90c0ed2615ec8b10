//! Which offering a new runner takes: the first fitting one in the total order that may be launched now.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pack::Packing;
use crate::model::state::Rule;
use crate::model::{Item, Needs, Plan, RuleKey, Scope, State, Tick, WaitReason, WorkflowId};

/// A rule in the order in which they are tried, with the slots that are taken, by this plan too.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    key: &'a RuleKey,
    rule: &'a Rule,
    taken: u32,
}

/// Launches that may still be planned.
pub(super) struct Launches<'a> {
    state: &'a State,
    tick: &'a Tick,
    candidates: Vec<Candidate<'a>>,
    /// Lists of full rules that were given as reasons: most shapes wait for the same ones.
    full: BTreeMap<Vec<usize>, Arc<[RuleKey]>>,
    allowance: BTreeMap<&'a Scope, u32>,
}

impl<'a> Launches<'a> {
    pub(super) fn new(state: &'a State, tick: &'a Tick, allowance: BTreeMap<&'a Scope, u32>) -> Self {
        let candidate = |key| {
            let rule = state.rules().get(key)?;
            Some(Candidate { key, rule, taken: state.live_count(key) })
        };
        let candidates = state.order.iter().filter_map(candidate).collect();
        Self { state, tick, candidates, full: BTreeMap::new(), allowance }
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
        let mut full = Vec::new();
        for place in 0..self.candidates.len() {
            let Candidate { key, rule, taken } = self.candidates[place];
            if !needs.fit(&rule.offering) {
                continue;
            }
            if taken >= rule.max && rule.blocked.is_none() {
                full.push(place);
                continue;
            }
            match self.zone(packing, key, rule, needs) {
                Ok(zone) => {
                    self.candidates[place].taken += 1;
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
        if full.is_empty() {
            return Err(obstacles.into_iter().next().unwrap_or(WaitReason::NoFittingRule));
        }
        // Of several obstacles busy runners are the one that ends by itself.
        let candidates = &self.candidates;
        let keys = |full: &Vec<usize>| full.iter().map(|place| candidates[*place].key.clone()).collect();
        let rules = match self.full.get(&full) {
            Some(rules) => Arc::clone(rules),
            None => {
                let rules: Arc<[RuleKey]> = keys(&full);
                self.full.insert(full, Arc::clone(&rules));
                rules
            }
        };
        Err(WaitReason::AtMaximum(rules))
    }

    fn zone(&self, packing: &Packing<'_>, key: &RuleKey, rule: &Rule, needs: &Needs) -> Result<String, WaitReason> {
        if let Some(why) = &rule.blocked {
            return Err(WaitReason::Blocked { rule: key.clone(), why: why.clone() });
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
