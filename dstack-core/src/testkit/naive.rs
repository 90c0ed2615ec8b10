//! The policy, said the slow way: every workflow against every runner and every rule, without any index or memory.
//!
//! It shares with the policy the words of the model (what fits, what a rule's order is) and nothing else. The plans are
//! equal: what is done and why, what waits and why, and when to look again.

mod reasons;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::plan::{Fit, LaunchReason};
use crate::model::state::{MAX_OVERTAKINGS, Outcome, Phase, Rule, Runner, RunnerPhase, Used};
use crate::model::{
    At, AttemptId, ClaimNumber, Item, MicroUsd, Needs, Offering, Plan, RuleKey, RunnerId, Scope, Span, State,
    StopReason, Tick, WaitReason, Waiting, WorkflowId,
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
    is_suspect: bool,
    is_kept: bool,
}

impl Bin<'_> {
    fn takes(&self, needs: &Needs) -> bool {
        let shares = !self.is_exclusive && needs.may_share();
        let fits = self.used.plus(Used::by(needs)).fits_in(Used::all_of(self.offering));
        !self.is_kept && !self.is_suspect && needs.fit(self.offering) && (self.count == 0 || (shares && fits))
    }

    /// Where it stands among those that have room: those that come first are filled first.
    fn rank(&self) -> impl Ord + '_ {
        let free = Used::all_of(self.offering).minus(self.used);
        let price = self.offering.price.unwrap_or(MicroUsd(u64::MAX));
        (price, self.count == 0, free.gpus, free.cpu, free.memory, free.disk, self.rule, self.offering)
    }

    fn emptiness(&self) -> impl Ord + '_ {
        let free = Used::all_of(self.offering).minus(self.used);
        (self.count == 0, free.gpus, free.cpu, free.memory, free.disk, self.rank())
    }
}

struct Naive<'a> {
    state: &'a State,
    tick: &'a Tick,
    bins: Vec<Bin<'a>>,
    pools: BTreeMap<&'a RuleKey, Used>,
    closed: BTreeSet<&'a RuleKey>,
    allowance: BTreeMap<&'a Scope, u32>,
    wanted: BTreeMap<&'a RuleKey, u32>,
    stopped: BTreeSet<RunnerId>,
    plan: Plan,
}

/// What should change now, and why the rest waits.
pub fn schedule(state: &State, tick: &Tick) -> Plan {
    if state.unreadable().is_some() || state.log().is_none() {
        return Plan::default();
    }
    let mut naive = Naive {
        state,
        tick,
        bins: Vec::new(),
        pools: BTreeMap::new(),
        closed: BTreeSet::new(),
        allowance: tick.scopes.iter().map(|(scope, known)| (scope, known.allowance)).collect(),
        wanted: BTreeMap::new(),
        stopped: BTreeSet::new(),
        plan: Plan::default(),
    };
    naive.skip();
    naive.stop_overdue();
    naive.claim();
    naive.gather();
    let mut waiting: BTreeMap<&Needs, WaitReason> = BTreeMap::new();
    for (workflow, needs) in due(state) {
        // Those behind an equal that found no place wait as well, and for the same reason.
        if !waiting.contains_key(needs)
            && let Err(reason) = naive.place(workflow, needs)
        {
            waiting.insert(needs, reason);
        }
    }
    naive.plan.waiting =
        Waiting::new(waiting.into_iter().map(|(needs, reason)| (Arc::new(needs.clone()), reason)).collect());
    naive.fill();
    naive.stop_idle();
    naive.plan
}

impl<'a> Naive<'a> {
    fn skip(&mut self) {
        for (run, found) in self.state.runs() {
            let mut causes: BTreeMap<u32, WorkflowId> = BTreeMap::new();
            for (index, workflow) in (0..).zip(&found.workflows) {
                let cause =
                    workflow.spec.depends_on.iter().find_map(|earlier| match &found.workflow(*earlier)?.phase {
                        Phase::Over(Outcome::Succeeded) => None,
                        Phase::Over(Outcome::Skipped { cause }) => Some(*cause),
                        Phase::Over(_) => Some(WorkflowId { run: *run, index: *earlier }),
                        Phase::Waiting | Phase::Assigned(_) | Phase::Exited(..) => causes.get(earlier).copied(),
                    });
                if let Some(cause) = cause.filter(|_| workflow.phase == Phase::Waiting) {
                    causes.insert(index, cause);
                    self.plan.items.push(Item::Skip { workflow: WorkflowId { run: *run, index }, cause });
                }
            }
        }
    }

    /// Runners that are being started, in the order in which they were wanted.
    fn starting(&self) -> Vec<(RunnerId, &'a Runner)> {
        let is_starting = |runner: &Runner| matches!(runner.phase, RunnerPhase::Wanted | RunnerPhase::Launched);
        let mut starting: Vec<_> = self.state.live_runners().filter(|(_, runner)| is_starting(runner)).collect();
        starting.sort_by_key(|(id, runner)| (runner.wanted_seq, *id));
        starting
    }

    fn has_fired(&self, scope: &Scope, deadline: At) -> bool {
        let looked = self.tick.scopes.get(scope).and_then(|scope| scope.last_look);
        self.tick.at >= deadline && looked.is_some_and(|began| began >= deadline)
    }

    fn credentials_hold(&self, scope: &Scope) -> bool {
        self.state.credentials().get(scope).is_some_and(|known| known.holds(self.tick.at))
    }

    fn stop_overdue(&mut self) {
        let settings = self.state.settings();
        let due = due(self.state);
        for (id, runner) in self.starting() {
            let min = self.state.rules().get(&runner.request.rule).map_or(0, |rule| rule.min);
            let is_needed = min > 0 || due.iter().any(|(_, needs)| needs.fit(&runner.offering));
            if runner.phase == RunnerPhase::Wanted && runner.open_claim().is_none() && !is_needed {
                self.stop(id, StopReason::Idle);
                continue;
            }
            let (deadline, reason) = if runner.phase == RunnerPhase::Wanted {
                let refused = self.state.credentials().get(&runner.request.scope).and_then(|known| known.until);
                let since = runner.since.max(refused.unwrap_or_default());
                (since.plus(settings.launch_timeout), StopReason::LaunchTimeout)
            } else {
                (runner.since.plus(settings.boot_timeout), StopReason::BootTimeout)
            };
            if self.has_fired(&runner.request.scope, deadline) {
                self.stop(id, reason);
            } else {
                self.await_timer(&runner.request.scope, deadline);
            }
        }
    }

    /// What comes at this moment is to be planned for; what has come needs a look that began since.
    fn await_timer(&mut self, scope: &Scope, deadline: At) {
        if self.tick.at < deadline {
            self.wake_at(deadline);
        } else {
            let known = self.plan.overdue.entry(scope.clone()).or_insert(deadline);
            *known = deadline.max(*known);
        }
    }

    fn wake_at(&mut self, at: At) {
        self.plan.next_wake = self.plan.next_wake.into_iter().chain([at]).min();
    }

    fn stop(&mut self, runner: RunnerId, reason: StopReason) {
        self.stopped.insert(runner);
        self.plan.items.push(Item::Stop { runner, reason });
    }

    fn claim(&mut self) {
        let starting = self.starting();
        let here: Vec<_> = starting.into_iter().filter(|(id, _)| !self.stopped.contains(id)).collect();
        for (_, runner) in here.iter().filter(|(_, runner)| runner.open_claim().is_some()) {
            self.spend(&runner.request.scope);
        }
        for (id, runner) in here {
            let scope = &runner.request.scope;
            let is_unclaimed = runner.phase == RunnerPhase::Wanted && runner.open_claim().is_none();
            let is_allowed = self.allowance.get(scope).is_some_and(|left| *left > 0);
            if is_unclaimed && self.credentials_hold(scope) {
                let until = self.state.credentials().get(scope).and_then(|known| known.until);
                until.into_iter().for_each(|until| self.wake_at(until));
            } else if is_unclaimed && is_allowed {
                self.spend(scope);
                let claim = ClaimNumber(runner.claim.as_ref().map_or(0, |claim| claim.number.0) + 1);
                self.plan.items.push(Item::Claim { runner: id, claim });
            }
        }
    }

    fn spend(&mut self, scope: &'a Scope) {
        self.allowance.entry(scope).and_modify(|left| *left = left.saturating_sub(1));
    }

    fn gather(&mut self) {
        let is_bin = |runner: &Runner| runner.is_starting() || runner.takes_work();
        let mut live: Vec<_> = self.state.live_runners().filter(|(_, runner)| is_bin(runner)).collect();
        live.sort_by_key(|(id, runner)| (runner.wanted_seq, *id));
        for (id, runner) in live.into_iter().filter(|(id, _)| !self.stopped.contains(id)) {
            let is_ready = runner.phase == RunnerPhase::Ready;
            self.bins.push(Bin {
                id: Some(id),
                rule: &runner.request.rule,
                offering: &runner.offering,
                used: runner.used,
                count: runner.attempts.len(),
                is_exclusive: runner.is_exclusive,
                is_ready,
                is_suspect: is_ready && self.tick.suspects.contains(&id),
                is_kept: false,
            });
        }
        for (_, runner) in self.state.live_runners().filter(|(_, runner)| runner.offering.pooled) {
            let pool = self.pools.entry(&runner.request.rule).or_default();
            *pool = pool.plus(runner.used);
        }
    }

    fn fits_pool(&self, rule: &RuleKey, offering: &Offering, needs: &Needs) -> bool {
        let used = self.pools.get(rule).copied().unwrap_or_default();
        let has_room = used.plus(Used::by(needs)).fits_in(Used::all_of(offering));
        !offering.pooled || (has_room && !self.closed.contains(rule))
    }

    /// Places a workflow, or keeps a runner for it if it was overtaken too often; says why it found no place.
    fn place(&mut self, workflow: WorkflowId, needs: &Needs) -> Result<(), WaitReason> {
        let fits = |bin: &&Bin<'_>| bin.takes(needs) && self.fits_pool(bin.rule, bin.offering, needs);
        let found = (0..self.bins.len()).filter(|place| fits(&&self.bins[*place]));
        let ready = found.clone().filter(|place| self.bins[*place].is_ready);
        let ready = ready.min_by(|one, other| {
            let (one, other) = (&self.bins[*one], &self.bins[*other]);
            one.rank().cmp(&other.rank()).then(one.id.cmp(&other.id))
        });
        let chosen = ready.or_else(|| found.clone().find(|place| !self.bins[*place].is_ready));
        let place = match chosen.map_or_else(|| self.launch(workflow, needs), Ok) {
            Ok(place) => place,
            Err(reason) => {
                return Err(match (self.keep(workflow, needs), self.withheld(needs)) {
                    (Some(kept), _) => WaitReason::Kept(kept),
                    (None, Some(kept)) => WaitReason::KeptForEarlier(kept),
                    (None, None) => reason,
                });
            }
        };
        let bin = &mut self.bins[place];
        let why = if bin.count == 0 { Fit::Alone } else { Fit::Beside };
        bin.used = bin.used.plus(Used::by(needs));
        bin.count += 1;
        bin.is_exclusive |= !needs.may_share();
        if bin.offering.pooled {
            let pool = self.pools.entry(bin.rule).or_default();
            *pool = pool.plus(Used::by(needs));
        }
        if let Some(runner) = bin.id.filter(|_| bin.is_ready) {
            let number = self.state.workflow(workflow).map_or(0, |workflow| workflow.attempt) + 1;
            self.plan.items.push(Item::Assign { attempt: AttemptId { workflow, number }, runner, why });
        } else {
            self.plan.starting.insert(workflow, bin.id);
            let (id, rule, offering) = (bin.id, bin.rule, bin.offering);
            if self.may_never_come(id, rule, offering) {
                self.keep(workflow, needs);
            }
        }
        Ok(())
    }

    /// Whether a launch of this rule has failed before, of whatever is not yet accepted, or a machine that came was of no use.
    fn may_never_come(&self, id: Option<RunnerId>, rule: &RuleKey, offering: &Offering) -> bool {
        let is_accepted = id.is_some_and(|id| self.state.runners()[&id].phase == RunnerPhase::Launched);
        let is_refused = self.state.credentials().contains_key(&offering.scope);
        let Some(known) = self.state.rules().get(rule) else { return is_refused && !is_accepted };
        let was_refused = is_refused || !known.unavailable.is_empty();
        known.strikes > 0 || (was_refused && !is_accepted)
    }

    /// The first rule, in the total order, of which a runner for these needs may be launched now.
    fn launch(&mut self, workflow: WorkflowId, needs: &Needs) -> Result<usize, WaitReason> {
        let (key, rule, zone) = self.first_free(needs)?;
        self.want(key, rule, zone, LaunchReason::For(workflow));
        self.bins.push(Bin {
            id: None,
            rule: key,
            offering: &rule.offering,
            used: Used::default(),
            count: 0,
            is_exclusive: false,
            is_ready: false,
            is_suspect: false,
            is_kept: false,
        });
        Ok(self.bins.len() - 1)
    }

    fn want(&mut self, key: &'a RuleKey, rule: &'a Rule, zone: String, why: LaunchReason) {
        *self.wanted.entry(key).or_default() += 1;
        self.spend(&rule.offering.scope);
        self.plan.items.push(Item::Launch { rule: key.clone(), zone, why });
    }

    fn keep(&mut self, workflow: WorkflowId, needs: &Needs) -> Option<RunnerId> {
        if self.state.workflow(workflow).is_none_or(|known| known.overtaken < MAX_OVERTAKINGS) {
            return None;
        }
        let could = |bin: &&mut Bin<'_>| bin.is_ready && !bin.is_suspect && !bin.is_kept && needs.fit(bin.offering);
        // Shared ones before those that one workflow has for itself; the emptiest; the first id of equals.
        let best = self.bins.iter_mut().filter(could).max_by(|one, other| {
            let shared = (!one.is_exclusive).cmp(&!other.is_exclusive);
            let emptier =
                if one.is_exclusive { std::cmp::Ordering::Equal } else { one.emptiness().cmp(&other.emptiness()) };
            shared.then(emptier).then(other.id.cmp(&one.id))
        });
        let bin = best?;
        bin.is_kept = true;
        if bin.offering.pooled {
            self.closed.insert(bin.rule);
        }
        self.plan.kept.extend(bin.id.map(|id| (id, workflow)));
        bin.id
    }

    /// Runners of the rule that stay, with those that this plan wants.
    fn alive(&self, key: &RuleKey) -> u32 {
        let stays = |(id, runner): &(RunnerId, &Runner)| {
            (runner.is_starting() || runner.takes_work()) && !self.stopped.contains(id)
        };
        let count = self.state.live_of(key).filter(stays).count();
        u32::try_from(count).unwrap_or(u32::MAX) + self.wanted.get(key).copied().unwrap_or(0)
    }

    fn fill(&mut self) {
        for (key, rule) in self.state.rules() {
            while self.state.is_enabled() && self.alive(key) < rule.min {
                match self.zone(key, rule, None) {
                    Ok(zone) => self.want(key, rule, zone, LaunchReason::Warm),
                    Err(reason) => {
                        self.wake_when_over(&reason);
                        self.plan.unfilled.insert(key.clone(), reason);
                        break;
                    }
                }
            }
        }
    }

    fn stop_idle(&mut self) {
        let mut idle: Vec<_> = self
            .state
            .live_runners()
            .filter_map(|(id, runner)| Some((runner.idle_since?, id, runner)))
            .filter(|(_, id, _)| !self.tick.suspects.contains(id) && !self.plan.kept.contains_key(id))
            .filter(|(_, id, _)| !self.plan.items.iter().any(|item| gives_work(item, *id)))
            .collect();
        idle.sort_by_key(|(since, id, _)| (*since, *id));
        for (since, id, runner) in idle {
            if runner.noticed {
                self.stop(id, StopReason::Interrupted);
                continue;
            }
            let rule = &runner.request.rule;
            let min = self.state.rules().get(rule).map_or(0, |rule| rule.min);
            let is_spare = !self.state.is_enabled() || min == 0 || self.alive(rule) > min;
            let span = if runner.offering.pooled { Span::ZERO } else { self.state.settings().idle_timeout };
            let deadline = since.plus(span);
            let is_over = span == Span::ZERO || self.has_fired(&runner.request.scope, deadline);
            if is_spare && is_over {
                self.stop(id, StopReason::Idle);
            } else if is_spare {
                self.await_timer(&runner.request.scope, deadline);
            }
        }
    }
}

fn gives_work(item: &Item, id: RunnerId) -> bool {
    matches!(item, Item::Assign { runner, .. } if *runner == id)
}

/// Waiting workflows without unmet dependencies, in the order of the queue.
fn due(state: &State) -> Vec<(WorkflowId, &Needs)> {
    let mut due = Vec::new();
    for (run, found) in state.runs() {
        for (index, workflow) in (0..).zip(&found.workflows) {
            if workflow.phase == Phase::Waiting && workflow.unmet == 0 {
                let id = WorkflowId { run: *run, index };
                due.push((Reverse(workflow.spec.priority), found.submitted, id, &workflow.spec.needs));
            }
        }
    }
    due.sort_unstable();
    due.into_iter().map(|(_, _, id, needs)| (id, needs)).collect()
}
