//! The policy of placing, said the slow way: every workflow against every runner and every rule, without any index.

use std::collections::BTreeMap;

use crate::model::state::{Phase, QueueKey, RunnerPhase, Used};
use crate::model::{
    AttemptId, Item, Needs, Offering, Plan, RuleKey, RunnerId, Scope, State, StopReason, Tick, WorkflowId,
};

/// A runner that could take work, or is promised to.
struct Bin<'a> {
    id: Option<RunnerId>,
    rule: &'a RuleKey,
    offering: &'a Offering,
    used: Used,
    count: usize,
    is_exclusive: bool,
    is_ready: bool,
}

impl Bin<'_> {
    fn takes(&self, needs: &Needs) -> bool {
        let shares = !self.is_exclusive && needs.may_share();
        let fits = self.used.plus(Used::by(needs)).fits_in(Used::all_of(self.offering));
        needs.fit(self.offering) && (self.count == 0 || (shares && fits))
    }

    fn give(&mut self, needs: &Needs) {
        self.used = self.used.plus(Used::by(needs));
        self.count += 1;
        self.is_exclusive |= !needs.may_share();
    }
}

/// What is assigned and launched, in the order of the queue, given the runners that the same step stops.
///
/// Compare with the `Assign` and `Launch` items of [`schedule`](crate::model::schedule()): they are equal.
pub fn place_all(state: &State, tick: &Tick, plan: &Plan) -> Vec<Item> {
    let mut bins: Vec<Bin<'_>> = state
        .runners()
        .iter()
        .filter(|(id, runner)| !runner.noticed && !is_stopped(plan, **id))
        .filter(|(_, runner)| matches!(runner.phase, RunnerPhase::Wanted | RunnerPhase::Launched | RunnerPhase::Ready))
        .map(|(id, runner)| Bin {
            id: Some(*id),
            rule: &runner.request.rule,
            offering: &runner.offering,
            used: runner.used,
            count: runner.attempts.len(),
            is_exclusive: runner.is_exclusive,
            is_ready: runner.phase == RunnerPhase::Ready,
        })
        .collect();
    // Those that are being started: in the order in which they were wanted.
    bins.sort_by_key(|bin| bin.id.and_then(|id| state.runners().get(&id)).map(|runner| (runner.wanted_seq, bin.id)));
    let mut pools: BTreeMap<&RuleKey, Used> = BTreeMap::new();
    for (_, runner) in state.live_runners().filter(|(_, runner)| runner.offering.pooled) {
        let pool = pools.entry(&runner.request.rule).or_default();
        *pool = pool.plus(runner.used);
    }
    let mut items = Vec::new();
    let mut allowance = allowances(state, tick, plan);
    let mut wanted: BTreeMap<&RuleKey, u32> = BTreeMap::new();
    for (workflow, needs) in due(state) {
        let in_pool = |pools: &BTreeMap<&RuleKey, Used>, rule: &RuleKey, offering: &Offering| {
            let used = pools.get(rule).copied().unwrap_or_default();
            !offering.pooled || used.plus(Used::by(needs)).fits_in(Used::all_of(offering))
        };
        let fits = |bin: &Bin<'_>| bin.takes(needs) && in_pool(&pools, bin.rule, bin.offering);
        let ready = (0..bins.len()).filter(|place| bins[*place].is_ready && fits(&bins[*place])).min_by_key(|place| {
            let bin = &bins[*place];
            (bin.count == 0, Used::all_of(bin.offering).minus(bin.used), bin.rule, bin.id)
        });
        let chosen = ready.or_else(|| (0..bins.len()).find(|place| !bins[*place].is_ready && fits(&bins[*place])));
        let place = chosen.or_else(|| {
            let (rule, zone) = launchable(state, tick, needs, |key, rule| {
                let taken = state.live_count(key) + wanted.get(key).copied().unwrap_or(0);
                taken < rule.max
                    && in_pool(&pools, key, &rule.offering)
                    && allowance.get(&rule.offering.scope).is_some_and(|left| *left > 0)
            })?;
            let offering = &state.rules().get(rule)?.offering;
            *wanted.entry(rule).or_default() += 1;
            allowance.entry(&offering.scope).and_modify(|left| *left -= 1);
            items.push(Item::Launch { rule: rule.clone(), zone, for_workflow: workflow });
            bins.push(Bin {
                id: None,
                rule,
                offering,
                used: Used::default(),
                count: 0,
                is_exclusive: false,
                is_ready: false,
            });
            Some(bins.len() - 1)
        });
        let Some(place) = place else { continue };
        bins[place].give(needs);
        if bins[place].offering.pooled {
            let pool = pools.entry(bins[place].rule).or_default();
            *pool = pool.plus(Used::by(needs));
        }
        if let Some(runner) = bins[place].id.filter(|_| bins[place].is_ready) {
            let number = state.workflow(workflow).map_or(0, |workflow| workflow.attempt) + 1;
            items.push(Item::Assign { attempt: AttemptId { workflow, number }, runner });
        }
    }
    items
}

/// Waiting workflows without unmet dependencies, in the order of the queue.
fn due(state: &State) -> Vec<(WorkflowId, &Needs)> {
    let mut due = Vec::new();
    for (run, found) in state.runs() {
        for (index, workflow) in (0..).zip(&found.workflows) {
            if workflow.phase == Phase::Waiting && workflow.unmet == 0 {
                let id = WorkflowId { run: *run, index };
                let priority = std::cmp::Reverse(workflow.spec.priority);
                due.push((QueueKey { priority, submitted: found.submitted, workflow: id }, &workflow.spec.needs));
            }
        }
    }
    due.sort_unstable_by_key(|(key, _)| *key);
    due.into_iter().map(|(key, needs)| (key.workflow, needs)).collect()
}

/// What is left of the allowances after open claims, and those that this step makes.
fn allowances<'a>(state: &'a State, tick: &'a Tick, plan: &Plan) -> BTreeMap<&'a Scope, u32> {
    let mut left: BTreeMap<&Scope, u32> = tick.scopes.iter().map(|(scope, known)| (scope, known.allowance)).collect();
    let renewed = plan.items.iter().filter_map(|item| match item {
        Item::Claim { runner, .. } => Some(*runner),
        Item::Skip { .. } | Item::Assign { .. } | Item::Launch { .. } | Item::Stop { .. } => None,
    });
    let open = state.live_runners().filter(|(_, runner)| runner.is_starting() && runner.open_claim().is_some());
    for id in open.map(|(id, _)| id).filter(|id| !is_stopped(plan, *id)).chain(renewed) {
        let Some(runner) = state.runners().get(&id) else { continue };
        left.entry(&runner.request.scope).and_modify(|left| *left = left.saturating_sub(1));
    }
    left
}

/// The cheapest rule that a runner for these needs may be launched of now, and the zone.
fn launchable<'a>(
    state: &'a State,
    tick: &Tick,
    needs: &Needs,
    has_slot: impl Fn(&RuleKey, &crate::model::state::Rule) -> bool,
) -> Option<(&'a RuleKey, String)> {
    if !state.is_enabled() {
        return None;
    }
    let mut found: Vec<_> = state
        .rules()
        .iter()
        .filter(|(key, rule)| {
            let is_paused = rule.paused_until.is_some_and(|until| tick.at < until);
            needs.fit(&rule.offering) && rule.blocked.is_none() && !is_paused && has_slot(key, rule)
        })
        .filter_map(|(key, rule)| {
            let is_out = |zone: &str| rule.unavailable.get(zone).is_some_and(|known| known.holds(tick.at));
            let zone = rule.offering.zones.iter().find(|zone| !is_out(zone) && !is_out(""))?;
            Some((key, rule, zone.clone()))
        })
        .collect();
    found.sort_by(|(_, one, _), (_, other, _)| one.order().cmp(&other.order()));
    found.into_iter().map(|(key, _, zone)| (key, zone)).next()
}

/// Whether the step stops the runner before it places anything.
fn is_stopped(plan: &Plan, id: RunnerId) -> bool {
    let stops =
        |item: &Item| matches!(item, Item::Stop { runner, reason } if *runner == id && *reason != StopReason::Idle);
    plan.items.iter().any(stops)
}
