//! The state and its indexes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Faults};
use super::left::Left;
use super::machine::{Runner, RunnerPhase};
use super::pairs;
use super::queue::{Fits, Queue, QueueKey};
use super::room::{Room, Rooms, Used};
use super::rules::{Rule, Unavailable};
use super::run::{Phase, Run, Workflow};
use crate::model::{
    At, AttemptId, LaunchRequest, LogId, MachineId, Needs, RecordHash, RuleKey, RunId, RunnerId, Scope, Seq, Settings,
    WorkflowId,
};

/// Version of the state's stored form; a snapshot of another version is ignored.
pub const STATE_VERSION: u32 = 4;

/// Everything that dstack knows: what is not over, and a little of what lately was. What is over leaves it
/// ([`State::apply`]), so that it does not grow with what has been.
///
/// Equal logs give equal states. The fields that only speed up look-ups are rebuilt from the others by
/// [`State::rebuild_indexes`], and are always equal to what that gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub(crate) seq: Seq,
    #[serde(skip)]
    pub(crate) hash: RecordHash,
    pub(crate) at: At,
    pub(crate) log: Option<LogId>,
    pub(crate) clock_offset_us: i64,
    pub(crate) is_enabled: bool,
    pub(crate) was_local_ruled: bool,
    pub(crate) settings: Settings,
    #[serde(with = "pairs")]
    pub(crate) rules: BTreeMap<RuleKey, Rule>,
    #[serde(with = "pairs", default)]
    pub(crate) credentials: BTreeMap<Scope, Unavailable>,
    #[serde(with = "pairs")]
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) finished: VecDeque<RunId>,
    pub(crate) past_runs: VecDeque<RunId>,
    #[serde(with = "pairs")]
    pub(crate) runners: BTreeMap<RunnerId, Runner>,
    pub(crate) stopped: VecDeque<RunnerId>,
    /// With their machines where a cloud has said that they ended: a look may go on showing those for a while.
    pub(crate) past_runners: VecDeque<(RunnerId, Option<MachineId>)>,
    pub(crate) faults: Faults,
    pub(crate) unreadable: Option<String>,

    #[serde(skip)]
    pub(crate) queue: Queue,
    #[serde(skip)]
    pub(crate) rooms: Rooms,
    #[serde(skip)]
    pub(crate) live: BTreeMap<RuleKey, BTreeSet<RunnerId>>,
    /// Scopes of runners that may be alive, and how many there are in each.
    #[serde(skip)]
    pub(crate) peopled: BTreeMap<Scope, u32>,
    #[serde(skip)]
    pub(crate) starting: BTreeSet<(Seq, RunnerId)>,
    #[serde(skip)]
    pub(crate) idle: BTreeSet<(At, RunnerId)>,
    #[serde(skip)]
    pub(crate) pools: BTreeMap<RuleKey, Used>,
    #[serde(skip)]
    pub(crate) exclusive: BTreeSet<RunnerId>,
    /// The rules' keys in their order, to be shared by reasons.
    #[serde(skip)]
    pub(crate) names: Vec<Arc<RuleKey>>,
    /// Places of the rules, by their keys, in the order in which they are tried.
    #[serde(skip)]
    pub(crate) order: Vec<usize>,
    /// The rules that keep some runners alive.
    #[serde(skip)]
    pub(crate) warm: BTreeSet<RuleKey>,
    #[serde(skip)]
    pub(crate) skips: BTreeSet<WorkflowId>,
    #[serde(skip)]
    pub(crate) open_runs: BTreeSet<RunId>,
    /// Workflows of the runs that are over and held.
    #[serde(skip)]
    pub(crate) held_workflows: usize,
    /// What has left with the record that is being taken in; nothing in between.
    #[serde(skip)]
    pub(crate) left: Left,
}

/// Where a runner stands in the indexes: what changes none of it, as most of what happens to a runner, costs no look-up.
#[derive(PartialEq, Eq)]
struct Indexed {
    may_live: bool,
    starting: Option<Seq>,
    room: Option<Room>,
    is_exclusive: bool,
    idle_since: Option<At>,
    of_pool: Option<Used>,
}

impl Indexed {
    fn of(runner: &Runner) -> Self {
        let is_starting = matches!(runner.phase, RunnerPhase::Wanted | RunnerPhase::Launched);
        Self {
            may_live: runner.may_live(),
            starting: is_starting.then_some(runner.wanted_seq),
            room: Room::of(runner),
            is_exclusive: runner.takes_work() && runner.is_exclusive,
            idle_since: runner.idle_since,
            of_pool: (runner.offering.pooled && runner.used != Used::default()).then_some(runner.used),
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            seq: Seq::START,
            hash: RecordHash::START,
            at: At::default(),
            log: None,
            clock_offset_us: 0,
            is_enabled: true,
            was_local_ruled: false,
            settings: Settings::default(),
            rules: BTreeMap::new(),
            credentials: BTreeMap::new(),
            runs: BTreeMap::new(),
            finished: VecDeque::new(),
            past_runs: VecDeque::new(),
            runners: BTreeMap::new(),
            stopped: VecDeque::new(),
            past_runners: VecDeque::new(),
            faults: Faults::default(),
            unreadable: None,
            queue: Queue::default(),
            rooms: Rooms::default(),
            live: BTreeMap::new(),
            peopled: BTreeMap::new(),
            starting: BTreeSet::new(),
            idle: BTreeSet::new(),
            pools: BTreeMap::new(),
            exclusive: BTreeSet::new(),
            names: Vec::new(),
            order: Vec::new(),
            warm: BTreeSet::new(),
            skips: BTreeSet::new(),
            open_runs: BTreeSet::new(),
            held_workflows: 0,
            left: Left::default(),
        }
    }
}

impl State {
    /// The newest record that is in it.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// That record's hash.
    pub const fn hash(&self) -> RecordHash {
        self.hash
    }

    /// That record's time.
    pub const fn at(&self) -> At {
        self.at
    }

    /// The log's lineage, once it has its first record.
    pub const fn log(&self) -> Option<LogId> {
        self.log
    }

    /// Microseconds by which the store's clock is corrected.
    pub const fn clock_offset_us(&self) -> i64 {
        self.clock_offset_us
    }

    /// Whether runners may be launched.
    pub const fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Whether there ever was a rule for runners on this machine.
    pub const fn was_local_ruled(&self) -> bool {
        self.was_local_ruled
    }

    /// Settings of autoscaling.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The rules, by what they are about.
    pub const fn rules(&self) -> &BTreeMap<RuleKey, Rule> {
        &self.rules
    }

    /// Runs that are not over, and the newest of those that are. The others are read by [`Client::run`](crate::Client::run).
    pub const fn runs(&self) -> &BTreeMap<RunId, Run> {
        &self.runs
    }

    /// Runs that are not over.
    pub fn open_runs(&self) -> impl Iterator<Item = (RunId, &Run)> {
        self.open_runs.iter().filter_map(|id| Some((*id, self.runs.get(id)?)))
    }

    /// Runners that may be alive, and the newest of those that are over.
    pub const fn runners(&self) -> &BTreeMap<RunnerId, Runner> {
        &self.runners
    }

    /// Runners that may be alive: each takes a slot of its rule.
    pub fn live_runners(&self) -> impl Iterator<Item = (RunnerId, &Runner)> {
        self.live.values().flatten().filter_map(|id| Some((*id, self.runners.get(id)?)))
    }

    /// Runners of this rule that may be alive.
    pub fn live_of(&self, rule: &RuleKey) -> impl Iterator<Item = (RunnerId, &Runner)> {
        self.live.get(rule).into_iter().flatten().filter_map(|id| Some((*id, self.runners.get(id)?)))
    }

    /// How many slots of this rule are taken.
    pub fn live_count(&self, rule: &RuleKey) -> u32 {
        self.live.get(rule).map_or(0, |live| u32::try_from(live.len()).unwrap_or(u32::MAX))
    }

    /// Waiting workflows whose dependencies have succeeded.
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Scopes whose provider does not accept the credentials, and when it is asked again.
    pub const fn credentials(&self) -> &BTreeMap<Scope, Unavailable> {
        &self.credentials
    }

    /// Events that did not fit.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Why this program may only read: the log holds a record that it cannot read in full.
    pub fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// The workflow.
    pub fn workflow(&self, id: WorkflowId) -> Option<&Workflow> {
        self.runs.get(&id.run)?.workflow(id.index)
    }

    /// Scopes that looks must cover: those of all rules and of all runners that may be alive.
    pub fn scopes(&self) -> BTreeSet<Scope> {
        let of_rules = self.rules.values().map(|rule| &rule.offering.scope);
        let all: BTreeSet<&Scope> = of_rules.chain(self.peopled.keys()).collect();
        all.into_iter().cloned().collect()
    }

    /// Whether this is the attempt that the workflow is at, and it is not over.
    pub(crate) fn is_current(&self, attempt: AttemptId) -> bool {
        self.workflow(attempt.workflow)
            .is_some_and(|workflow| workflow.attempt == attempt.number && workflow.runner().is_some())
    }

    pub(crate) fn fault(&mut self, kind: &str, why: impl Into<String>) {
        let fault = Fault { seq: self.seq, kind: kind.to_owned(), why: why.into() };
        self.faults.push(fault);
    }

    pub(crate) fn workflow_mut(&mut self, id: WorkflowId) -> Option<&mut Workflow> {
        self.runs.get_mut(&id.run)?.workflows.get_mut(usize::try_from(id.index).ok()?)
    }

    /// The workflow's place in the queue, if it is to be there.
    pub(crate) fn queue_key(&self, id: WorkflowId) -> Option<(&Workflow, QueueKey)> {
        let run = self.runs.get(&id.run)?;
        let workflow = run.workflow(id.index)?;
        let key = QueueKey { priority: Reverse(workflow.spec.priority), submitted: run.submitted, workflow: id };
        Some((workflow, key))
    }

    /// Puts the workflow into the queue if it waits for nothing but a runner.
    pub(crate) fn enqueue(&mut self, id: WorkflowId) {
        let Some((workflow, key)) = self.queue_key(id) else { return };
        if workflow.phase == Phase::Waiting && workflow.unmet == 0 {
            let (spec, overtaken) = (Arc::clone(&workflow.spec), workflow.overtaken);
            let rules = &self.rules;
            self.queue.insert(&spec.needs, key, overtaken, || fits(rules, &spec.needs));
        }
    }

    pub(crate) fn dequeue(&mut self, id: WorkflowId) {
        let Some((workflow, key)) = self.queue_key(id) else { return };
        let spec = Arc::clone(&workflow.spec);
        let runs = &self.runs;
        let overtaken =
            |id: WorkflowId| runs.get(&id.run).and_then(|run| run.workflow(id.index)).map_or(0, |next| next.overtaken);
        self.queue.remove(&spec.needs, &key, overtaken);
    }

    /// Changes a runner and keeps every index over runners right.
    pub(crate) fn change_runner<T>(&mut self, id: RunnerId, change: impl FnOnce(&mut Runner) -> T) -> Option<T> {
        let runner = self.runners.get_mut(&id)?;
        let before = Indexed::of(runner);
        let result = change(runner);
        let after = Indexed::of(runner);
        if before != after {
            let request = Arc::clone(&runner.request);
            self.unindex(id, &request, before);
            self.index(id, &request, after);
        }
        Some(result)
    }

    pub(crate) fn index_runner(&mut self, id: RunnerId, runner: &Runner) {
        self.index(id, &runner.request, Indexed::of(runner));
    }

    fn index(&mut self, id: RunnerId, request: &LaunchRequest, indexed: Indexed) {
        let rule = &request.rule;
        if indexed.may_live {
            match self.peopled.get_mut(&request.scope) {
                Some(count) => *count += 1,
                None => drop(self.peopled.insert(request.scope.clone(), 1)),
            }
            match self.live.get_mut(rule) {
                Some(live) => drop(live.insert(id)),
                None => drop(self.live.entry(rule.clone()).or_default().insert(id)),
            }
        }
        if let Some(wanted) = indexed.starting {
            self.starting.insert((wanted, id));
        }
        if let Some(room) = indexed.room {
            self.rooms.insert(room, id);
        }
        if indexed.is_exclusive {
            self.exclusive.insert(id);
        }
        if let Some(since) = indexed.idle_since {
            self.idle.insert((since, id));
        }
        if let Some(used) = indexed.of_pool {
            let pool = self.pools.entry(rule.clone()).or_default();
            *pool = pool.plus(used);
        }
    }

    fn unindex(&mut self, id: RunnerId, request: &LaunchRequest, indexed: Indexed) {
        let rule = &request.rule;
        if indexed.may_live {
            if let Some(count) = self.peopled.get_mut(&request.scope) {
                *count -= 1;
                if *count == 0 {
                    self.peopled.remove(&request.scope);
                }
            }
            if let Some(live) = self.live.get_mut(rule) {
                live.remove(&id);
                if live.is_empty() {
                    self.live.remove(rule);
                }
            }
        }
        if let Some(wanted) = indexed.starting {
            self.starting.remove(&(wanted, id));
        }
        if let Some(room) = indexed.room {
            self.rooms.remove(&room, id);
        }
        if indexed.is_exclusive {
            self.exclusive.remove(&id);
        }
        if let Some(since) = indexed.idle_since {
            self.idle.remove(&(since, id));
        }
        if let Some(used) = indexed.of_pool
            && let Some(pool) = self.pools.get_mut(rule)
        {
            *pool = pool.minus(used);
            if *pool == Used::default() {
                self.pools.remove(rule);
            }
        }
    }

    pub(crate) fn reorder_rules(&mut self) {
        let rules: Vec<&Rule> = self.rules.values().collect();
        let mut places: Vec<usize> = (0..rules.len()).collect();
        places.sort_by(|one, other| rules[*one].order().cmp(&rules[*other].order()));
        self.order = places;
    }

    /// The rules, or the offerings that they allow, have changed.
    pub(crate) fn rules_changed(&mut self) {
        self.reorder_rules();
        self.names = self.rules.keys().cloned().map(Arc::new).collect();
        let rules = &self.rules;
        self.queue.refit(|needs| fits(rules, needs));
        self.warm = rules.iter().filter(|(_, rule)| rule.min > 0).map(|(key, _)| key.clone()).collect();
    }

    /// The same state with its indexes made anew from what they index. A state equals its rebuilt self, always.
    #[must_use]
    pub fn rebuild_indexes(mut self) -> Self {
        self.queue = Queue::default();
        self.rooms = Rooms::default();
        self.live = BTreeMap::new();
        self.peopled = BTreeMap::new();
        self.starting = BTreeSet::new();
        self.idle = BTreeSet::new();
        self.pools = BTreeMap::new();
        self.exclusive = BTreeSet::new();
        self.skips = BTreeSet::new();
        self.open_runs = BTreeSet::new();
        let runners = std::mem::take(&mut self.runners);
        for (id, runner) in &runners {
            self.index_runner(*id, runner);
        }
        self.runners = runners;
        let mut waiting = Vec::new();
        for (run_id, run) in &self.runs {
            if !run.is_over() {
                self.open_runs.insert(*run_id);
            }
            for (index, workflow) in (0..).zip(&run.workflows) {
                let id = WorkflowId { run: *run_id, index };
                if workflow.phase == Phase::Waiting {
                    waiting.push(id);
                    if super::run::root_cause(run, *run_id, workflow).is_some() {
                        self.skips.insert(id);
                    }
                }
            }
        }
        for id in waiting {
            self.enqueue(id);
        }
        self.count_held();
        self.rules_changed();
        self
    }
}

/// Which rules an empty machine of would meet these needs.
fn fits(rules: &BTreeMap<RuleKey, Rule>, needs: &Needs) -> Fits {
    let mut bits = vec![0; rules.len().div_ceil(64)];
    for (place, rule) in rules.values().enumerate() {
        if needs.fit(&rule.offering) {
            bits[place / 64] |= 1 << (place % 64);
        }
    }
    bits.into()
}
