//! The policies that are compared, each on the same floor.

use std::collections::{BTreeMap, BTreeSet};

use dstack_core::model::plan::{Fit, LaunchReason};
use dstack_core::model::state::{Runner, Used};
use dstack_core::model::{
    AttemptId, Item, Needs, Offering, Plan, Purchase, RuleKey, RunnerId, State, StopReason, Tick,
};

/// What decides which machines there are and what runs where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The scheduler.
    Dstack,
    /// The scheduler, with machines that go as soon as they are idle.
    DstackEager,
    /// The scheduler's order, but a workflow goes onto no machine that is dearer than the cheapest that could be started for it.
    NoDearer,
    /// Both.
    NoDearerEager,
    /// A machine for each workflow, of the cheapest type that fits, which ends with it.
    OneEach,
    /// As many machines of each type as the scheduler had on average, for the whole time.
    PoolMean,
    /// As many as it had at most.
    PoolPeak,
    /// The first machine with room, in the order in which they were started; nothing is kept for anybody.
    FirstFit,
}

impl Policy {
    /// All of them, the scheduler first: pools are made after it.
    pub(crate) const ALL: [Self; 6] =
        [Self::Dstack, Self::DstackEager, Self::OneEach, Self::PoolMean, Self::PoolPeak, Self::FirstFit];

    /// The scheduler, and those that decide one thing otherwise.
    pub(crate) const DECISIONS: [Self; 6] =
        [Self::Dstack, Self::DstackEager, Self::NoDearer, Self::NoDearerEager, Self::FirstFit, Self::OneEach];

    /// Its name in a table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dstack => "dstack",
            Self::DstackEager => "dstack, idle 0",
            Self::NoDearer => "none dearer live",
            Self::NoDearerEager => "none dearer live, idle 0",
            Self::OneEach => "one runner each",
            Self::PoolMean => "fixed pool, mean",
            Self::PoolPeak => "fixed pool, peak",
            Self::FirstFit => "first fit",
        }
    }
}

/// The needs of a workflow that has a machine of the cheapest fitting type for itself.
pub(crate) fn alone(needs: &Needs, offerings: &[Offering], purchase: Purchase) -> Needs {
    let fitting = offerings.iter().filter(|offering| needs.fit(offering));
    match fitting.min_by_key(|offering| (offering.price, offering.cpu, &offering.instance_type)) {
        Some(cheapest) => {
            Needs { instance_type: Some(cheapest.instance_type.clone()), purchase: Some(purchase), ..Needs::default() }
        }
        None => needs.clone(),
    }
}

/// A machine as first fit sees it.
struct Bin<'a> {
    id: Option<RunnerId>,
    offering: &'a Offering,
    used: Used,
    count: usize,
    is_ready: bool,
}

/// Which of several machines with room is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// The one that was wanted first.
    Oldest,
    /// Of those that are no dearer than the cheapest that could be started: the cheapest, one that has work, the fullest.
    NoDearer,
}

/// First fit without reservation.
pub(crate) fn first_fit(state: &State, tick: &Tick) -> Plan {
    plan(state, tick, Choice::Oldest)
}

/// Machines that are dearer than one that could be started are left to themselves; nothing is kept for anybody.
pub(crate) fn no_dearer(state: &State, tick: &Tick) -> Plan {
    plan(state, tick, Choice::NoDearer)
}

fn plan(state: &State, tick: &Tick, choice: Choice) -> Plan {
    let mut plan = Plan::default();
    let alive = |runner: &Runner| runner.is_starting() || runner.takes_work();
    let mut runners: Vec<_> = state.live_runners().filter(|(_, runner)| alive(runner)).collect();
    runners.sort_by_key(|(id, runner)| (runner.wanted_seq, *id));
    let mut bins: Vec<Bin<'_>> = runners
        .iter()
        .map(|(id, runner)| Bin {
            id: Some(*id),
            offering: &runner.offering,
            used: runner.used,
            count: runner.attempts.len(),
            is_ready: runner.takes_work(),
        })
        .collect();
    let mut rules: Vec<_> = state.rules().iter().collect();
    rules.sort_by(|(_, one), (_, other)| one.order().cmp(&other.order()));
    let mut hopeless: BTreeSet<&Needs> = BTreeSet::new();
    let mut keys: Vec<_> =
        state.queue().shapes().flat_map(|(needs, keys)| keys.iter().map(move |key| (*key, needs))).collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    let mut launched: BTreeMap<&RuleKey, u32> = BTreeMap::new();
    for (key, needs) in keys {
        if hopeless.contains(needs) {
            continue;
        }
        let takes = |bin: &Bin<'_>| {
            needs.fit(bin.offering)
                && (bin.count == 0 || bin.used.plus(Used::by(needs)).fits_in(Used::all_of(bin.offering)))
        };
        let has_slot = |key: &RuleKey, max: u32| state.live_count(key) + launched.get(key).copied().unwrap_or(0) < max;
        let new = rules.iter().find(|(key, rule)| needs.fit(&rule.offering) && has_slot(key, rule.max));
        let dearest = new.filter(|_| choice == Choice::NoDearer).and_then(|(_, rule)| rule.price());
        let is_cheap = |bin: &Bin<'_>| dearest.is_none_or(|dearest| bin.offering.price <= Some(dearest));
        let rank = |place: usize| {
            let (bin, free) = (&bins[place], Used::all_of(bins[place].offering).minus(bins[place].used));
            match choice {
                Choice::Oldest => (!bin.is_ready, None, place),
                Choice::NoDearer => {
                    (!bin.is_ready, Some((bin.offering.price, bin.count == 0, free.gpus, free.cpu, free.memory)), place)
                }
            }
        };
        let found = (0..bins.len()).filter(|place| takes(&bins[*place]) && is_cheap(&bins[*place]));
        let place = found.min_by_key(|place| rank(*place)).or_else(|| {
            let (rule, known) = new?;
            *launched.entry(rule).or_default() += 1;
            let zone = known.offering.zones.first().cloned().unwrap_or_default();
            let why = LaunchReason::For(key.workflow);
            plan.items.push(Item::Launch { rule: (*rule).clone(), zone, why });
            bins.push(Bin { id: None, offering: &known.offering, used: Used::default(), count: 0, is_ready: false });
            Some(bins.len() - 1)
        });
        let Some(place) = place else {
            hopeless.insert(needs);
            continue;
        };
        let bin = &mut bins[place];
        bin.used = bin.used.plus(Used::by(needs));
        bin.count += 1;
        if let Some(runner) = bin.id.filter(|_| bin.is_ready) {
            let number = state.workflow(key.workflow).map_or(0, |workflow| workflow.attempt) + 1;
            let attempt = AttemptId { workflow: key.workflow, number };
            plan.items.push(Item::Assign { attempt, runner, why: Fit::Beside });
        }
    }
    stop_idle(state, tick, &runners, &bins, &mut plan);
    plan
}

fn stop_idle(state: &State, tick: &Tick, runners: &[(RunnerId, &Runner)], bins: &[Bin<'_>], plan: &mut Plan) {
    for ((id, runner), bin) in runners.iter().zip(bins) {
        let Some(since) = runner.idle_since.filter(|_| bin.count == 0) else { continue };
        let over = since.plus(state.settings().idle_timeout);
        if over <= tick.at {
            plan.items.push(Item::Stop { runner: *id, reason: StopReason::Idle });
        } else {
            plan.next_wake = Some(plan.next_wake.map_or(over, |earlier| earlier.min(over)));
        }
    }
}
