//! Which offering a new runner takes: the first fitting one in the total order that may be launched now.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::claims;
use super::pack::Packing;
use crate::model::plan::LaunchReason;
use crate::model::state::{Rule, Shape, Unavailable};
use crate::model::{At, Item, Plan, RuleKey, Scope, State, Tick, WaitReason};
use crate::planted::{self, Bug};

/// A rule with the slots that are taken, by this plan too.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    key: &'a RuleKey,
    rule: &'a Rule,
    taken: u32,
    planned: u32,
}

/// Why no runner of a rule is launched.
pub(super) enum Obstacle {
    /// All slots are taken: that ends by itself.
    Full,
    /// There are no slots.
    Zero,
    Other(WaitReason),
}

/// Launches that may still be planned.
pub(super) struct Launches<'a> {
    state: &'a State,
    tick: &'a Tick,
    /// In the order of their keys.
    candidates: Vec<Candidate<'a>>,
    /// Sets of fitting rules of which none can launch: what cannot be launched for one shape cannot for another.
    refused: BTreeMap<&'a [u64], WaitReason>,
    allowance: BTreeMap<&'a Scope, u32>,
}

impl<'a> Launches<'a> {
    pub(super) fn new(state: &'a State, tick: &'a Tick, allowance: BTreeMap<&'a Scope, u32>) -> Self {
        let mut live = state.live.iter().peekable();
        let candidate = |(key, rule)| {
            while live.next_if(|(other, _)| *other < key).is_some() {}
            let of_rule = live.next_if(|(other, _)| *other == key).map_or(0, |(_, runners)| runners.len());
            Candidate { key, rule, taken: u32::try_from(of_rule).unwrap_or(u32::MAX), planned: 0 }
        };
        let candidates = state.rules().iter().map(candidate).collect();
        Self { state, tick, candidates, refused: BTreeMap::new(), allowance }
    }

    /// As they are once this plan, which was made on the state, is done.
    pub(super) fn after(state: &'a State, tick: &'a Tick, plan: &Plan) -> Self {
        let allowance = claims::allowances(state, tick, &claims::stopped_by(plan));
        let mut launches = Self::new(state, tick, allowance);
        for item in &plan.items {
            let scope = match item {
                Item::Launch { rule, .. } => launches.count(rule),
                Item::Claim { runner, .. } => state.runners().get(runner).map(|runner| &runner.request.scope),
                Item::Skip { .. } | Item::Assign { .. } | Item::Stop { .. } => None,
            };
            if let Some(left) = scope.and_then(|scope| launches.allowance.get_mut(scope)) {
                *left = left.saturating_sub(1);
            }
        }
        launches
    }

    /// One more of this rule is wanted; gives its scope.
    fn count(&mut self, rule: &RuleKey) -> Option<&'a Scope> {
        let place = self.candidates.binary_search_by(|candidate| candidate.key.cmp(rule)).ok()?;
        let candidate = &mut self.candidates[place];
        candidate.taken += 1;
        candidate.planned += 1;
        Some(&candidate.rule.offering.scope)
    }

    /// Whether any runner of a rule that fits may be alive.
    pub(super) fn has_live(&self, shape: &Shape) -> bool {
        let mut places = (0..self.candidates.len()).filter(|place| fits(shape, *place));
        places.any(|place| self.candidates[place].taken > 0)
    }

    /// Plans a runner for this shape, or says why none can be started.
    pub(super) fn launch(
        &mut self,
        packing: &mut Packing<'a>,
        shape: &'a Shape,
        why: LaunchReason,
        plan: &mut Plan,
    ) -> Result<(), WaitReason> {
        if !self.state.is_enabled() && !planted::is(Bug::DisabledIgnored) {
            return Err(WaitReason::Disabled);
        }
        if let Some(reason) = self.refused.get(&*shape.fits) {
            return Err(reason.clone());
        }
        let (mut full, mut zero, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut depends_on_needs = false;
        for place in self.state.order.iter().copied().filter(|place| fits(shape, *place)) {
            let Candidate { key, rule, .. } = self.candidates[place];
            depends_on_needs |= rule.offering.pooled;
            let is_pool_full = !packing.fits_pool(key, &rule.offering, &shape.needs);
            match self.zone(place, is_pool_full) {
                Ok(zone) => {
                    packing.add_launch(key, &rule.offering);
                    self.plan_launch(place, zone, why, plan);
                    return Ok(());
                }
                Err(Obstacle::Full) => full.push(self.name(place)),
                Err(Obstacle::Zero) => zero.push(self.name(place)),
                Err(Obstacle::Other(reason)) => {
                    ends_by_itself(&reason).into_iter().for_each(|at| plan.wake_at(at));
                    others.push(reason);
                }
            }
        }
        // Of several obstacles busy runners are the one that ends by itself.
        let reason = match (full.is_empty(), others.into_iter().next(), zero.is_empty()) {
            (false, _, _) => WaitReason::AtMaximum(full.into()),
            (true, Some(reason), _) => reason,
            (true, None, false) => WaitReason::MaximumZero(zero.into()),
            (true, None, true) => WaitReason::NoFittingRule,
        };
        if !depends_on_needs {
            self.refused.insert(&shape.fits, reason.clone());
        }
        Err(reason)
    }

    /// Plans runners until as many of each rule are alive as its minimum says. `alive` counts those that stay.
    pub(super) fn fill(&mut self, alive: impl Fn(&RuleKey) -> u32, plan: &mut Plan) {
        if !self.state.is_enabled() {
            return;
        }
        for place in 0..self.candidates.len() {
            let Candidate { key, rule, planned, .. } = self.candidates[place];
            if rule.min == 0 {
                continue;
            }
            for _ in alive(key).saturating_add(planned)..rule.min {
                match self.zone(place, false) {
                    Ok(zone) => self.plan_launch(place, zone, LaunchReason::Warm, plan),
                    Err(obstacle) => {
                        let reason = match obstacle {
                            Obstacle::Full | Obstacle::Zero => WaitReason::AtMaximum([self.name(place)].into()),
                            Obstacle::Other(reason) => reason,
                        };
                        ends_by_itself(&reason).into_iter().for_each(|at| plan.wake_at(at));
                        plan.unfilled.insert(key.clone(), reason);
                        break;
                    }
                }
            }
        }
    }

    fn name(&self, place: usize) -> Arc<RuleKey> {
        self.state.names.get(place).map_or_else(|| Arc::new(self.candidates[place].key.clone()), Arc::clone)
    }

    /// Launches of this rule that this plan makes.
    pub(super) fn planned(&self, key: &RuleKey) -> u32 {
        let place = self.candidates.binary_search_by(|candidate| candidate.key.cmp(key));
        place.map_or(0, |place| self.candidates[place].planned)
    }

    fn plan_launch(&mut self, place: usize, zone: String, why: LaunchReason, plan: &mut Plan) {
        let candidate = &mut self.candidates[place];
        candidate.taken += u32::from(!planted::is(Bug::PlannedUncounted));
        candidate.planned += 1;
        let Candidate { key, rule, .. } = *candidate;
        if let Some(left) = self.allowance.get_mut(&rule.offering.scope) {
            *left = left.saturating_sub(1);
        }
        plan.items.push(Item::Launch { rule: key.clone(), zone, why });
    }

    /// Whether a runner of this rule is being tried, and none has shown yet that they live.
    fn is_tried(&self, key: &RuleKey, planned: u32) -> bool {
        let at = self.tick.at;
        let has_proven = self.state.live_of(key).any(|(_, runner)| runner.has_proven(at));
        !has_proven && (planned > 0 || self.state.live_of(key).any(|(_, runner)| runner.is_on_trial(at)))
    }

    /// When the runners of this rule that are alive have shown that they live, if they go on doing so.
    fn trial_ends(&self, key: &RuleKey) -> Option<At> {
        let ends = self.state.live_of(key).filter_map(|(_, runner)| runner.trial_end()).max()?;
        (self.tick.at < ends).then_some(ends)
    }

    /// The zone that a runner of this rule is launched in now.
    pub(super) fn zone(&self, place: usize, is_pool_full: bool) -> Result<String, Obstacle> {
        let Candidate { key, rule, taken, planned } = self.candidates[place];
        let at = self.tick.at;
        if let Some(why) = &rule.blocked {
            return Err(Obstacle::Other(WaitReason::Blocked { rule: key.clone(), why: why.clone() }));
        }
        if taken >= rule.max && !planted::is(Bug::CapIgnored) {
            return Err(if rule.max == 0 { Obstacle::Zero } else { Obstacle::Full });
        }
        if is_pool_full {
            return Err(Obstacle::Other(WaitReason::PoolFull(key.clone())));
        }
        let scope = &rule.offering.scope;
        if let Some(known) = self.state.credentials().get(scope).filter(|known| known.holds(at)) {
            let Unavailable { until, why, .. } = known.clone();
            return Err(Obstacle::Other(WaitReason::Credentials { scope: scope.clone(), until, why }));
        }
        if let Some(until) = rule.paused_until.filter(|until| at < *until) {
            return Err(Obstacle::Other(WaitReason::Paused { rule: key.clone(), until }));
        }
        if rule.is_on_trial() && self.is_tried(key, planned) {
            return Err(Obstacle::Other(WaitReason::OnTrial { rule: key.clone(), until: self.trial_ends(key) }));
        }
        let zone = free_zone(rule, at).ok_or_else(|| Obstacle::Other(unavailable(key, rule, at)))?;
        if self.allowance.get(scope).copied().unwrap_or(0) == 0 {
            return Err(Obstacle::Other(WaitReason::Throttled));
        }
        Ok(zone.clone())
    }
}

fn fits(shape: &Shape, place: usize) -> bool {
    shape.fits.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
}

/// The first zone that the cloud has not said to be without.
fn free_zone(rule: &Rule, at: At) -> Option<&String> {
    let holds = |name: &str| rule.unavailable.get(name).is_some_and(|known| known.holds(at));
    if holds("") {
        return None;
    }
    rule.offering.zones.iter().find(|zone| !holds(zone))
}

/// The zone that is asked again first.
fn unavailable(key: &RuleKey, rule: &Rule, at: At) -> WaitReason {
    let until = |name: &str| {
        let known = rule.unavailable.get(name).filter(|known| known.holds(at))?;
        Some((known.until.map_or(i64::MAX, At::as_micros), known))
    };
    // All zones come back before any one counts.
    let first =
        until("").or_else(|| rule.offering.zones.iter().filter_map(|zone| until(zone)).min_by_key(|(until, _)| *until));
    WaitReason::Unavailable {
        rule: key.clone(),
        until: first.and_then(|(_, known)| known.until),
        why: first.map_or_else(|| "no zone has it".to_owned(), |(_, known)| known.why.clone()),
    }
}

/// When the obstacle may be gone, where that is known.
const fn ends_by_itself(reason: &WaitReason) -> Option<At> {
    match reason {
        WaitReason::Unavailable { until, .. }
        | WaitReason::Credentials { until, .. }
        | WaitReason::OnTrial { until, .. } => *until,
        WaitReason::Paused { until, .. } => Some(*until),
        WaitReason::Disabled
        | WaitReason::NoFittingRule
        | WaitReason::MaximumZero(_)
        | WaitReason::AtMaximum(_)
        | WaitReason::Kept(_)
        | WaitReason::KeptForEarlier(_)
        | WaitReason::Blocked { .. }
        | WaitReason::PoolFull(_)
        | WaitReason::Throttled => None,
    }
}
