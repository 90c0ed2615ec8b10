//! The pure core alone at work: machines that take a while to boot, workflows that run for known times, and a planner.
//!
//! No controller, log or clock: a year of a workload takes seconds. What a planner costs and how long it lets workflows wait
//! is read off afterwards, so that policies can be compared on the same workload.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cloud::LaunchError;
use crate::model::event::{
    AttemptExited, LogCreated, ResultsKept, RuleAllowed, RunSubmitted, RunnerLaunched, RunnerNoticed, RunnerReady,
    RunnerStopped, WorkflowSubmitted,
};
use crate::model::plan::ScopeTick;
use crate::model::state::{Runner, RunnerPhase};
use crate::model::{
    Address, AppendId, At, AttemptId, Certificate, ClaimNumber, Content, ControllerId, Event, Exit, LogId, MachineId,
    MicroUsd, Observation, Offering, Plan, Purchase, Record, RecordHash, RuleKey, RunId, RunnerId, Span, State,
    StopReason, Tick, WorkflowId, WorkflowSpec, reconcile,
};

/// What decides: [`schedule`](crate::model::schedule()), or something to compare it with.
pub trait Planner {
    /// What should change now.
    fn plan(&mut self, state: &State, tick: &Tick) -> Plan;
}

impl<F: FnMut(&State, &Tick) -> Plan> Planner for F {
    fn plan(&mut self, state: &State, tick: &Tick) -> Plan {
        self(state, tick)
    }
}

/// What comes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Launched(RunnerId),
    Ready(RunnerId),
    Exit(AttemptId),
    Gone(RunnerId),
}

/// How long machines take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// From the wish for a machine until it is billed.
    pub launch: Span,
    /// From then until it takes work.
    pub boot: Span,
    /// From the notice of its end until the cloud takes it.
    pub notice: Span,
}

impl Default for Delays {
    fn default() -> Self {
        Self { launch: Span::from_secs(5), boot: Span::from_secs(60), notice: Span::from_secs(120) }
    }
}

/// One try of a workflow, as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub workflow: WorkflowId,
    /// Where.
    pub runner: RunnerId,
    /// From when nothing but a runner was missing: it was submitted, its dependencies succeeded, or it was requeued.
    pub due: At,
    /// When it was assigned.
    pub at: At,
    /// When it ended; absent while it has not.
    pub until: Option<At>,
    /// Whether it ran to its end.
    pub is_done: bool,
}

/// A machine, as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rented {
    /// What it was.
    pub rule: RuleKey,
    /// Its price an hour.
    pub price: MicroUsd,
    /// When it began to be billed.
    pub from: At,
    /// When it was given back; absent while it is kept.
    pub until: Option<At>,
}

impl Rented {
    /// For how long it has been billed by this moment.
    pub fn span(&self, now: At) -> Span {
        self.until.unwrap_or(now).since(self.from)
    }
}

/// A place where a workload is run by a planner.
#[derive(Debug, Clone, Default)]
pub struct Floor {
    state: State,
    now: At,
    delays: Delays,
    due: BTreeMap<(At, u64), Due>,
    wake: Option<At>,
    minted: u64,
    lengths: BTreeMap<WorkflowId, Span>,
    ready_at: BTreeMap<WorkflowId, At>,
    starts: Vec<Start>,
    newest: BTreeMap<WorkflowId, usize>,
    /// Zones where nothing can be had at the moment.
    without: BTreeSet<String>,
    rented: BTreeMap<RunnerId, Rented>,
}

impl Floor {
    /// An empty one, at second 0.
    pub fn new(delays: Delays) -> Self {
        let mut floor = Self { delays, ..Self::default() };
        floor.add(LogCreated { log: LogId::from_bytes([7; 16]) });
        floor
    }

    /// What is known.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The time.
    pub const fn now(&self) -> At {
        self.now
    }

    /// Every start of a workflow.
    pub fn starts(&self) -> &[Start] {
        &self.starts
    }

    /// Every machine that was billed.
    pub const fn rented(&self) -> &BTreeMap<RunnerId, Rented> {
        &self.rented
    }

    /// From now on a zone has machines, or has none: then each spot machine that is there is announced to be taken back.
    pub fn zone_has(&mut self, zone: &str, has: bool) {
        if has {
            self.without.remove(zone);
            return;
        }
        self.without.insert(zone.to_owned());
        let there = |runner: &Runner| runner.request.zone == zone && runner.request.rule.purchase == Purchase::Spot;
        let taken: Vec<_> = self.state.live_runners().filter(|(_, runner)| there(runner)).map(|(id, _)| id).collect();
        for runner in taken {
            self.interrupt(runner);
        }
    }

    /// A rule.
    pub fn allow(&mut self, offering: Offering, max: u32, min: u32) {
        self.add(RuleAllowed { max, min, offering });
    }

    /// One more thing that happened.
    pub fn add(&mut self, event: impl Into<Event>) {
        let record = Record {
            seq: self.state.seq().next(),
            at: self.now,
            append: AppendId::from_bytes([0; 16]),
            hash: RecordHash::START,
            content: Content::Known(event.into()),
        };
        self.state.apply(&record);
    }

    /// Workflows that run for these times; returns their run.
    pub fn submit(&mut self, workflows: Vec<(WorkflowSpec, Span)>) -> RunId {
        let run = RunId::from_bits(self.mint());
        let count = u32::try_from(workflows.len()).unwrap_or(u32::MAX);
        let name = "run".parse().expect("it is a valid name");
        self.add(RunSubmitted { run, name, workflows: count, folder: None, secrets: Vec::new() });
        for (index, (spec, length)) in (0..).zip(workflows) {
            let id = WorkflowId { run, index };
            self.lengths.insert(id, length);
            if spec.depends_on.is_empty() {
                self.ready_at.insert(id, self.now);
            }
            self.add(WorkflowSubmitted { id, spec: Arc::new(spec) });
        }
        run
    }

    /// The cloud announces that it takes this runner back, and does.
    pub fn interrupt(&mut self, runner: RunnerId) {
        if self.state.runners().get(&runner).is_some_and(|known| known.may_live() && !known.noticed) {
            let at = self.now.plus(self.delays.notice);
            self.add(RunnerNoticed { runner, deadline: Some(at) });
            self.later(at, Due::Gone(runner));
        }
    }

    /// When something comes by itself next.
    pub fn next(&self) -> Option<At> {
        let due = self.due.first_key_value().map(|((at, _), _)| *at);
        due.into_iter().chain(self.wake).min()
    }

    /// Goes on to this moment, with all that comes until then; the planner decides after each of it.
    pub fn run_until(&mut self, until: At, planner: &mut dyn Planner) {
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.wake = None;
            while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let due = entry.remove();
                self.come(due);
            }
            self.decide(planner);
        }
        self.now = self.now.max(until);
    }

    /// Goes on until nothing comes by itself any more.
    pub fn run_out(&mut self, planner: &mut dyn Planner) {
        while let Some(next) = self.next() {
            self.run_until(next, planner);
        }
    }

    /// The planner decides, and what it decided begins.
    pub fn decide(&mut self, planner: &mut dyn Planner) -> Plan {
        let known = ScopeTick { last_look: Some(self.now), allowance: u32::MAX };
        let scopes = self.state.scopes().into_iter().map(|scope| (scope, known)).collect();
        let tick = Tick { at: self.now, scopes, ..Tick::default() };
        let plan = planner.plan(&self.state, &tick);
        self.wake = plan.next_wake.filter(|at| *at > self.now);
        let minted = &mut self.minted;
        let mut mint = || {
            *minted += 1;
            let mut entropy = [0; 16];
            entropy[..8].copy_from_slice(&minted.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            entropy
        };
        let events = plan.clone().into_events(&self.state, ControllerId::from_bytes([1; 16]), &mut mint);
        for event in events {
            self.add(event.clone());
            self.begin(&event);
        }
        plan
    }

    /// What an event makes come later.
    fn begin(&mut self, event: &Event) {
        if let Event::RunnerWanted(wanted) = event {
            self.later(self.now.plus(self.delays.launch), Due::Launched(wanted.runner));
        } else if let Event::AttemptAssigned(assigned) = event {
            let attempt = assigned.attempt;
            let id = attempt.workflow;
            let due = self.ready_at.get(&id).copied().unwrap_or(self.now);
            self.newest.insert(id, self.starts.len());
            let (runner, at) = (assigned.runner, self.now);
            self.starts.push(Start { workflow: id, runner, due, at, until: None, is_done: false });
            let length = self.lengths.get(&id).copied().unwrap_or_default();
            self.later(self.now.plus(length), Due::Exit(attempt));
        } else if let Event::RunnerStopping(stopping) = event {
            self.give_back(stopping.runner, stopping.reason.clone());
        }
    }

    fn come(&mut self, due: Due) {
        match due {
            Due::Launched(runner) => self.launched(runner),
            Due::Ready(runner) => {
                if self.phase(runner) == Some(RunnerPhase::Launched) {
                    self.add(RunnerReady { runner, address: None, identity: None });
                }
            }
            Due::Exit(attempt) => {
                if self.state.is_current(attempt) {
                    self.add(AttemptExited { attempt, exit: Exit::exited(0) });
                    self.add(ResultsKept { attempt, manifest: None, missing: Vec::new() });
                    self.ended(attempt.workflow, true);
                    self.free_dependents(attempt.workflow);
                }
            }
            Due::Gone(runner) => self.give_back(runner, StopReason::Interrupted),
        }
    }

    fn launched(&mut self, runner: RunnerId) {
        let Some(known) = self.state.runners().get(&runner).filter(|known| known.phase == RunnerPhase::Wanted) else {
            return;
        };
        if known.request.rule.purchase == Purchase::Spot && self.without.contains(&known.request.zone) {
            let why = "none left".to_owned();
            let answer = Err(LaunchError::Capacity { why, all_zones: false, permanent: false });
            let seen = Observation::LaunchAnswered { runner, claim: ClaimNumber(1), answer, greeting: None };
            return reconcile(&self.state, &seen).into_iter().for_each(|event| self.add(event));
        }
        let (rule, price) = (known.request.rule.clone(), known.price.unwrap_or_default());
        self.rented.insert(runner, Rented { rule, price, from: self.now, until: None });
        self.add(RunnerLaunched { runner, machine: MachineId(runner.to_string()), address: Some(Address::default()) });
        self.later(self.now.plus(self.delays.boot), Due::Ready(runner));
    }

    /// A machine ends at once: clouds bill until its end is asked for.
    fn give_back(&mut self, runner: RunnerId, reason: StopReason) {
        if let Some(rented) = self.rented.get_mut(&runner) {
            rented.until.get_or_insert(self.now);
        }
        let Some(known) = self.state.runners().get(&runner).filter(|known| known.may_live()) else { return };
        for attempt in known.attempts.clone() {
            self.ready_at.insert(attempt.workflow, self.now);
            self.ended(attempt.workflow, false);
        }
        self.add(RunnerStopped { runner, reason, certificate: Certificate::Terminated });
    }

    fn ended(&mut self, workflow: WorkflowId, is_done: bool) {
        if let Some(start) = self.newest.get(&workflow).and_then(|place| self.starts.get_mut(*place)) {
            start.until = Some(self.now);
            start.is_done = is_done;
        }
    }

    fn free_dependents(&mut self, id: WorkflowId) {
        let dependents = self.state.workflow(id).map(|workflow| workflow.dependents.clone()).unwrap_or_default();
        for index in dependents {
            let dependent = WorkflowId { run: id.run, index };
            if self.state.workflow(dependent).is_some_and(|workflow| workflow.unmet == 0) {
                self.ready_at.insert(dependent, self.now);
            }
        }
    }

    fn phase(&self, runner: RunnerId) -> Option<RunnerPhase> {
        self.state.runners().get(&runner).map(|runner| runner.phase)
    }

    fn mint(&mut self) -> u64 {
        self.minted += 1;
        self.minted.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn later(&mut self, at: At, due: Due) {
        self.minted += 1;
        self.due.insert((at, self.minted), due);
    }
}
