//! No rule ever has more machines than its maximum.

use std::collections::BTreeMap;

use super::property::{Property, Truth, Verdict};
use crate::model::{Event, Purchase, Record, RuleKey, State};

/// No runner is wanted beyond the maximum; and by the cloud's own count, at every instant, no rule has more machines than
/// the largest maximum that it ever had, nor more than the log knows of.
#[derive(Debug, Default)]
pub struct Cap {
    peaks: BTreeMap<RuleKey, u32>,
    machines: usize,
}

impl Property for Cap {
    fn name(&self) -> &'static str {
        "cap"
    }

    fn record(&mut self, _truth: &Truth, before: &State, record: &Record) -> Verdict {
        match record.event() {
            Some(Event::RuleAllowed(allowed)) => {
                let peak = self.peaks.entry(allowed.offering.rule_key()).or_default();
                *peak = (*peak).max(allowed.max);
                Ok(false)
            }
            Some(Event::RunnerWanted(wanted)) => {
                let rule = &wanted.request.rule;
                let max = before.rules().get(rule).map_or(0, |rule| rule.max);
                let live = before.live_count(rule);
                if live < max {
                    return Ok(true);
                }
                Err(format!("a runner of {rule} is wanted, though {live} may live and {max} may be"))
            }
            _ => Ok(false),
        }
    }

    fn stepped(&mut self, truth: &Truth, _state: &State) -> Verdict {
        let machines = truth.cloud.machine_count();
        if machines == self.machines {
            return Ok(false);
        }
        self.machines = machines;
        let mut peaks: BTreeMap<(&str, Purchase), u32> = BTreeMap::new();
        for (rule, peak) in &self.peaks {
            *peaks.entry((rule.instance_type.as_str(), rule.purchase)).or_default() += peak;
        }
        for ((name, purchase), most) in truth.cloud.max_live_each() {
            let peak = peaks.get(&(name.as_str(), purchase)).copied().unwrap_or(0);
            if most > usize::try_from(peak).unwrap_or(usize::MAX) {
                return Err(format!("{most} machines of {name} {purchase} lived at once, {peak} were ever allowed"));
            }
        }
        Ok(true)
    }
}
