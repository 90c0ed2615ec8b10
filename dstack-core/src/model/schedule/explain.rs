//! What the policy says of one workflow.

use std::sync::Arc;

use super::launch::{Launches, Obstacle};
use super::pack::Pools;
use super::schedule::plan_with_pools;
use crate::model::explain::{Explanation, RuleAnswer, RunnerAnswer, Standing, lacks};
use crate::model::state::{Outcome, Phase, Runner, RunnerPhase, Used, root_cause};
use crate::model::{Item, Needs, Plan, RuleKey, RunnerId, State, StopReason, Tick, WaitReason, WorkflowId};

/// Why a workflow waits, with all that was considered for it. Absent where the state does not know it.
///
/// It costs a plan, and a look at each rule and at each live runner. For many workflows see [`standing`].
pub fn explain(state: &State, tick: &Tick, workflow: WorkflowId) -> Option<Explanation> {
    let (plan, pools) = plan_with_pools(state, tick);
    let standing = standing(state, &plan, workflow)?;
    let (mut rules, mut runners) = (Vec::new(), Vec::new());
    match standing {
        Standing::Placed(..) | Standing::Starting(_) | Standing::Launching | Standing::Waits { .. } => {
            let needs = &state.workflow(workflow)?.spec.needs;
            let about = About { state, tick, plan: &plan, pools: &pools, workflow, needs };
            rules = about.rules();
            let fitting = state.live_runners().filter(|(_, runner)| about.needs.fit(&runner.offering));
            runners.extend(fitting.map(|(id, runner)| (id, about.runner(id, runner))));
        }
        Standing::Runs(_)
        | Standing::Over
        | Standing::Dependencies(_)
        | Standing::Hopeless(_)
        | Standing::Unplanned => {}
    }
    Some(Explanation { workflow, standing, rules, runners })
}

/// Where a workflow stands, by a plan that was made on this state. Absent where the state does not know it.
pub fn standing(state: &State, plan: &Plan, id: WorkflowId) -> Option<Standing> {
    let run = state.runs().get(&id.run)?;
    let known = run.workflow(id.index)?;
    match &known.phase {
        Phase::Assigned(runner) | Phase::Exited(runner, _) => return Some(Standing::Runs(*runner)),
        Phase::Over(_) => return Some(Standing::Over),
        Phase::Waiting => {}
    }
    if known.unmet > 0 {
        if let Some(cause) = root_cause(run, id.run, known) {
            return Some(Standing::Hopeless(cause));
        }
        let earlier = known.spec.depends_on.iter().filter_map(|index| Some((*index, run.workflow(*index)?)));
        let open = earlier.filter(|(_, earlier)| earlier.phase != Phase::Over(Outcome::Succeeded));
        let named = |(index, earlier): (u32, &crate::model::state::Workflow)| {
            (WorkflowId { run: id.run, index }, earlier.spec.name.clone())
        };
        return Some(Standing::Dependencies(open.map(named).collect()));
    }
    if let Some(starting) = plan.starting.get(&id) {
        return Some(starting.map_or(Standing::Launching, Standing::Starting));
    }
    let placed = |item: &Item| match item {
        Item::Assign { attempt, runner, why } if attempt.workflow == id => Some(Standing::Placed(*runner, *why)),
        Item::Assign { .. } | Item::Skip { .. } | Item::Launch { .. } | Item::Claim { .. } | Item::Stop { .. } => None,
    };
    if let Some(placed) = plan.items.iter().find_map(placed) {
        return Some(placed);
    }
    let Some(reason) = plan.waiting.get(&known.spec.needs) else { return Some(Standing::Unplanned) };
    let ending = match reason {
        WaitReason::AtMaximum(rules) => rules.iter().map(|rule| ending(state, plan, rule)).sum(),
        WaitReason::Disabled
        | WaitReason::NoFittingRule
        | WaitReason::MaximumZero(_)
        | WaitReason::Kept(_)
        | WaitReason::KeptForEarlier(_)
        | WaitReason::Unavailable { .. }
        | WaitReason::Blocked { .. }
        | WaitReason::Paused { .. }
        | WaitReason::OnTrial { .. }
        | WaitReason::Credentials { .. }
        | WaitReason::PoolFull(_)
        | WaitReason::Throttled => 0,
    };
    Some(Standing::Waits { reason: reason.clone(), ending })
}

/// How many runners of a rule are ending, or are about to.
fn ending(state: &State, plan: &Plan, rule: &RuleKey) -> u32 {
    let ends = |(id, runner): &(RunnerId, &Runner)| {
        runner.phase == RunnerPhase::Stopping || runner.noticed || stop_of(plan, *id).is_some()
    };
    u32::try_from(state.live_of(rule).filter(ends).count()).unwrap_or(u32::MAX)
}

fn stop_of(plan: &Plan, id: RunnerId) -> Option<&StopReason> {
    plan.items.iter().find_map(|item| match item {
        Item::Stop { runner, reason } if *runner == id => Some(reason),
        Item::Stop { .. } | Item::Skip { .. } | Item::Assign { .. } | Item::Launch { .. } | Item::Claim { .. } => None,
    })
}

/// What is asked, and the plan that answers.
struct About<'a> {
    state: &'a State,
    tick: &'a Tick,
    plan: &'a Plan,
    pools: &'a Pools<'a>,
    workflow: WorkflowId,
    needs: &'a Needs,
}

impl About<'_> {
    fn rules(&self) -> Vec<(Arc<RuleKey>, RuleAnswer)> {
        let launches = Launches::after(self.state, self.tick, self.plan);
        let answer = |place: &usize| {
            let name = Arc::clone(self.state.names.get(*place)?);
            let rule = self.state.rules().get(&*name)?;
            let lacks = lacks(self.needs, &rule.offering);
            if !lacks.is_empty() {
                return Some((name, RuleAnswer::Unfit(lacks)));
            }
            if !self.state.is_enabled() {
                return Some((name, RuleAnswer::Obstacle(WaitReason::Disabled)));
            }
            let answer = match launches.zone(*place, !self.pools.fits(&name, &rule.offering, self.needs)) {
                Ok(zone) => RuleAnswer::Free { zone },
                Err(Obstacle::Full) => RuleAnswer::Full { max: rule.max, ending: ending(self.state, self.plan, &name) },
                Err(Obstacle::Zero) => RuleAnswer::Obstacle(WaitReason::MaximumZero([Arc::clone(&name)].into())),
                Err(Obstacle::Other(reason)) => RuleAnswer::Obstacle(reason),
            };
            Some((name, answer))
        };
        self.state.order.iter().filter_map(answer).collect()
    }

    fn runner(&self, id: RunnerId, runner: &Runner) -> RunnerAnswer {
        let goes_there = |item: &Item| matches!(item, Item::Assign { attempt, runner, .. } if attempt.workflow == self.workflow && *runner == id);
        if self.plan.items.iter().any(goes_there) {
            return RunnerAnswer::Taken;
        }
        if self.plan.starting.get(&self.workflow) == Some(&Some(id)) {
            return RunnerAnswer::Promised;
        }
        if let Some(reason) = stop_of(self.plan, id).or(runner.stop.as_ref()) {
            return RunnerAnswer::Ending(reason.clone());
        }
        if runner.noticed {
            return RunnerAnswer::Noticed;
        }
        if runner.is_starting() {
            return RunnerAnswer::PromisedToOthers;
        }
        if self.tick.suspects.contains(&id) {
            return RunnerAnswer::Suspect;
        }
        if let Some(other) = self.plan.kept.get(&id) {
            return if *other == self.workflow { RunnerAnswer::Kept } else { RunnerAnswer::KeptFor(*other) };
        }
        let free = Used::all_of(&runner.offering).minus(runner.used);
        if runner.is_exclusive {
            RunnerAnswer::Exclusive
        } else if !runner.attempts.is_empty() && !self.needs.may_share() {
            RunnerAnswer::Shared
        } else if !runner.attempts.is_empty() && !Used::by(self.needs).fits_in(free) {
            RunnerAnswer::Short(free)
        } else if !self.pools.fits(&runner.request.rule, &runner.offering, self.needs) {
            RunnerAnswer::PoolFull
        } else {
            RunnerAnswer::GivenAway
        }
    }
}
