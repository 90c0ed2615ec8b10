//! Why nothing is launched, and when that may be over.

use super::Naive;
use crate::model::state::{Rule, Runner, Unavailable, Used};
use crate::model::{At, Needs, RuleKey, RunnerId, WaitReason};

impl<'a> Naive<'a> {
    /// The first rule, in the total order, of which a runner for these needs may be launched now, and its zone; or the
    /// obstacle that is named: slots that are taken, else what stands in the way of the first rule that has any.
    pub(super) fn first_free(&mut self, needs: &Needs) -> Result<(&'a RuleKey, &'a Rule, String), WaitReason> {
        if !self.state.is_enabled() {
            return Err(WaitReason::Disabled);
        }
        let mut rules: Vec<(&'a RuleKey, &'a Rule)> = self.state.rules().iter().collect();
        rules.retain(|(_, rule)| needs.fit(&rule.offering));
        rules.sort_by(|(_, one), (_, other)| one.order().cmp(&other.order()));
        let mut reasons = Vec::new();
        for (key, rule) in rules {
            match self.zone(key, rule, Some(needs)) {
                Ok(zone) => return Ok((key, rule, zone)),
                Err(reason) => {
                    self.wake_when_over(&reason);
                    reasons.push(reason);
                }
            }
        }
        let named = |reason: &WaitReason| match reason {
            WaitReason::AtMaximum(rules) | WaitReason::MaximumZero(rules) => rules.to_vec(),
            _ => Vec::new(),
        };
        let is_full = |reason: &&WaitReason| matches!(reason, WaitReason::AtMaximum(_));
        let is_zero = |reason: &&WaitReason| matches!(reason, WaitReason::MaximumZero(_));
        if reasons.iter().any(|reason| is_full(&reason)) {
            return Err(WaitReason::AtMaximum(reasons.iter().filter(is_full).flat_map(named).collect()));
        }
        if let Some(reason) = reasons.iter().find(|reason| !is_zero(reason)) {
            return Err(reason.clone());
        }
        if reasons.is_empty() {
            return Err(WaitReason::NoFittingRule);
        }
        Err(WaitReason::MaximumZero(reasons.iter().flat_map(named).collect()))
    }

    /// Where a runner of this rule may be launched now, or what stands in the way; for these needs, or for its minimum.
    pub(super) fn zone(&self, key: &RuleKey, rule: &Rule, needs: Option<&Needs>) -> Result<String, WaitReason> {
        let at = self.tick.at;
        let name = || [std::sync::Arc::new(key.clone())].into();
        if let Some(why) = rule.blocked.clone() {
            return Err(WaitReason::Blocked { rule: key.clone(), why });
        }
        let wanted = self.wanted.get(key).copied().unwrap_or(0);
        if self.state.live_count(key) + wanted >= rule.max {
            let is_zero = rule.max == 0 && needs.is_some();
            return Err(if is_zero { WaitReason::MaximumZero(name()) } else { WaitReason::AtMaximum(name()) });
        }
        if needs.is_some_and(|needs| !self.fits_pool(key, &rule.offering, needs)) {
            return Err(WaitReason::PoolFull(key.clone()));
        }
        let scope = &rule.offering.scope;
        if self.credentials_hold(scope)
            && let Some(Unavailable { until, why, .. }) = self.state.credentials().get(scope).cloned()
        {
            return Err(WaitReason::Credentials { scope: scope.clone(), until, why });
        }
        if let Some(until) = rule.paused_until
            && at < until
        {
            return Err(WaitReason::Paused { rule: key.clone(), until });
        }
        let of_rule: Vec<&Runner> = self.state.live_of(key).map(|(_, runner)| runner).collect();
        if rule.is_on_trial()
            && !of_rule.iter().any(|runner| runner.has_proven(at))
            && (wanted > 0 || of_rule.iter().any(|runner| runner.is_on_trial(at)))
        {
            let until = of_rule.iter().filter_map(|runner| runner.trial_end()).max().filter(|until| at < *until);
            return Err(WaitReason::OnTrial { rule: key.clone(), until });
        }
        let found = |zone: &str| rule.unavailable.get(zone).filter(|known| known.holds(at));
        let free = rule.offering.zones.iter().find(|zone| found("").is_none() && found(zone).is_none());
        let Some(zone) = free else {
            let first = |one: &&Unavailable| one.until.map_or(i64::MAX, At::as_micros);
            let of_zones = rule.offering.zones.iter().filter_map(|zone| found(zone));
            let known = found("").or_else(|| of_zones.min_by_key(first));
            let why = known.map_or_else(|| "no zone has it".to_owned(), |known| known.why.clone());
            return Err(WaitReason::Unavailable { rule: key.clone(), until: known.and_then(|known| known.until), why });
        };
        if self.allowance.get(scope).is_none_or(|left| *left == 0) {
            return Err(WaitReason::Throttled);
        }
        Ok(zone.clone())
    }

    pub(super) fn wake_when_over(&mut self, reason: &WaitReason) {
        let until = match reason {
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
        };
        until.into_iter().for_each(|until| self.wake_at(until));
    }

    /// The first runner that is kept for an earlier workflow and has room for these needs.
    pub(super) fn withheld(&self, needs: &Needs) -> Option<RunnerId> {
        let has_room = |id: &&RunnerId| {
            self.state.runners().get(id).is_some_and(|runner| {
                let free = Used::all_of(&runner.offering).minus(runner.used);
                let shares = needs.may_share() && !runner.is_exclusive;
                let fits = shares && Used::by(needs).fits_in(free);
                needs.fit(&runner.offering) && runner.takes_work() && (runner.attempts.is_empty() || fits)
            })
        };
        self.plan.kept.keys().find(has_room).copied()
    }
}
