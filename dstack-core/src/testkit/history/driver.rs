//! Two controllers and a user on one log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::act::{Act, Job};
use super::cloud::Cloud;
use super::launches::Sent;
use crate::cloud::Look;
use crate::controller::Evidence;
use crate::model::event::LogCreated;
use crate::model::plan::ScopeTick;
use crate::model::record::Content;
use crate::model::{
    AppendId, At, ClaimNumber, Command, ControllerId, Event, LogId, MicroUsd, Observation, Plan, Record, RecordHash,
    RuleFilter, RunId, RunnerId, Scope, Seq, Settings, Span, State, Submission, Tick, Token, Unfit, WorkflowSpec,
    decide, reconcile, schedule,
};
use crate::testkit::samples;

/// Launch claims that may be open at once in a scope.
const ALLOWANCE: u32 = 4;

/// A history as it goes on: the log, the state that it folds into, and the truth outside.
#[derive(Debug, Clone)]
pub struct Driver {
    pub(super) state: State,
    pub(super) records: Vec<Record>,
    pub(super) now: At,
    pub(super) cloud: Cloud,
    pub(super) controllers: [ControllerId; 2],
    pub(super) sent: Vec<Sent>,
    /// When claims were made.
    pub(super) claimed: BTreeMap<(RunnerId, ClaimNumber), At>,
    /// Claims with a send whose outcome is not known.
    pub(super) doubts: BTreeSet<(RunnerId, ClaimNumber)>,
    pub(super) looks: VecDeque<(Scope, At, Look)>,
    /// What looks have shown, as controllers keep it.
    pub(super) evidence: BTreeMap<Scope, Evidence>,
    repeated: Vec<Event>,
    minted: u64,
    appends: u64,
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}

/// The log that these acts make.
pub fn records_of(acts: &[Act]) -> Vec<Record> {
    let mut driver = Driver::new();
    acts.iter().for_each(|act| driver.act(act));
    driver.records
}

impl Driver {
    /// A log with its first record, and an empty cloud.
    pub fn new() -> Self {
        let mut driver = Self {
            state: State::default(),
            records: Vec::new(),
            now: At::from_micros(1_700_000_000_000_000),
            cloud: Cloud::default(),
            controllers: [ControllerId::from_entropy([1; 16]), ControllerId::from_entropy([2; 16])],
            sent: Vec::new(),
            claimed: BTreeMap::new(),
            doubts: BTreeSet::new(),
            looks: VecDeque::new(),
            evidence: BTreeMap::new(),
            repeated: Vec::new(),
            minted: 0,
            appends: 0,
        };
        driver.append(&[LogCreated { log: LogId::from_entropy([7; 16]) }.into()]);
        driver
    }

    /// The state at the log's end.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The log.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What observations would have added to the log a second time; a refusal under a closed claim may say again what it says
    /// of the offering.
    pub fn repeated(&self) -> &[Event] {
        &self.repeated
    }

    /// The cloud's truth.
    pub const fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// Log time.
    pub const fn now(&self) -> At {
        self.now
    }

    /// What the controllers know of the scopes now.
    pub fn tick(&self) -> Tick {
        let known = |scope: Scope| {
            let last_look = self.evidence.get(&scope).and_then(Evidence::last);
            (scope, ScopeTick { last_look, allowance: ALLOWANCE })
        };
        Tick { at: self.now, scopes: self.state.scopes().into_iter().map(known).collect(), ..Tick::default() }
    }

    /// Does one thing, if it can be done now.
    pub fn act(&mut self, act: &Act) {
        match act {
            Act::Allow(offering, max) => self.allow(*offering, *max, 0),
            Act::KeepWarm(offering, max, min) => self.allow(*offering, *max, *min),
            Act::Save(attempt) => self.save(*attempt),
            Act::Price(percent) => self.price(*percent),
            Act::Remove(rule) => self.remove(*rule),
            Act::Enable => self.command(Command::Enable),
            Act::Disable => self.command(Command::Disable),
            Act::Set(idle, max_losses) => {
                let idle_timeout = Span::from_secs(*idle);
                self.command(Command::Set(Settings { idle_timeout, max_losses: *max_losses, ..Settings::default() }));
            }
            Act::Submit(jobs) => self.submit(jobs),
            Act::Stop(run, workflow, abort) => self.stop(*run, *workflow, *abort),
            Act::StopRunner(runner) => {
                let live: Vec<_> = self.state.live_runners().map(|(id, _)| id).collect();
                if let Some(place) = runner.checked_rem(live.len()) {
                    self.command(Command::StopRunner(live[place]));
                }
            }
            Act::Plan(controller) => self.plan(*controller),
            Act::Send(launch) => self.send(*launch),
            Act::Land(sent, luck) => self.land(*sent, *luck),
            Act::Try(luck) => {
                self.send(0);
                self.land(0, *luck);
                self.answer(0);
            }
            Act::Answer(sent) => self.answer(*sent),
            Act::LoseAnswer(sent) => self.lose_answer(*sent),
            Act::CloseClaim(runner) => self.close_claim(*runner),
            Act::Look(scope, hidden) => self.look(*scope, *hidden),
            Act::Looked => self.take_look(),
            Act::Go(machine) => self.go(*machine),
            Act::Greet(runner) => self.greet(*runner),
            Act::Notice(machine) => self.notice(*machine),
            Act::Kill(machine) => self.kill(*machine),
            Act::Terminate(runner) => self.terminate(*runner),
            Act::Exit(attempt, code) => self.exit(*attempt, *code),
            Act::Finish(attempt, code) => self.finish(*attempt, *code),
            Act::Keep(attempt, is_missing) => self.keep(*attempt, *is_missing),
            Act::Lose(attempt) => self.lose(*attempt),
            Act::Crash(controller) => {
                self.minted += 1;
                let mut entropy = [3; 16];
                entropy[..8].copy_from_slice(&self.minted.to_be_bytes());
                self.controllers[controller % 2] = ControllerId::from_entropy(entropy);
            }
            Act::Launches => self.launch_all(),
            Act::Ends => self.end_all(),
            Act::Pass(span) => self.pass(*span),
        }
    }

    /// Carries a command out, or leaves it if it is rejected.
    pub fn command(&mut self, command: Command) {
        if let Ok(events) = decide(&self.state, command) {
            self.append(&events);
        }
    }

    /// Takes an observation in.
    pub fn observe(&mut self, observation: &Observation) {
        let events = reconcile(&self.state, observation);
        self.append(&events);
        let is_late = events.iter().all(|event| matches!(event, Event::OfferingUnavailable(_) | Event::RuleBlocked(_)));
        if !is_late {
            self.repeated.extend(reconcile(&self.state, observation));
        }
    }

    /// Plans as this controller, and appends what the plan says. Returns the plan.
    pub fn plan_as(&mut self, controller: usize) -> Plan {
        let plan = schedule(&self.state, &self.tick());
        let minted = &mut self.minted;
        let mut mint = || {
            *minted += 1;
            // Ids in no order: a plan must not lean on the order in which they are made.
            let mixed = minted.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut entropy = [0; 16];
            entropy[..8].copy_from_slice(&mixed.to_be_bytes());
            entropy
        };
        let events = plan.clone().into_events(&self.state, self.controllers[controller % 2], &mut mint);
        self.append(&events);
        plan
    }

    /// Appends these events in one append, at this moment.
    pub fn append(&mut self, events: &[Event]) {
        self.appends += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.appends.to_be_bytes());
        let append = AppendId::from_bytes(id);
        for (index, event) in (0..).zip(events) {
            let seq = self.records.last().map_or(Seq::START, |record| record.seq).next();
            let before = self.records.last().map_or(RecordHash::START, |record| record.hash);
            let hash = before.next(seq, self.now, append, index, &event.encode());
            if let Event::ClaimMade(claim) = event {
                self.claimed.insert((claim.runner, claim.claim), self.now);
            }
            let record = Record { seq, at: self.now, append, hash, content: Content::Known(event.clone()) };
            self.state.apply(&record);
            self.records.push(record);
        }
    }

    fn plan(&mut self, controller: usize) {
        self.plan_as(controller);
    }

    fn price(&mut self, percent: u64) {
        let mut offerings = samples::offerings();
        for offering in &mut offerings {
            offering.price = offering.price.map(|price| MicroUsd(price.0 * percent / 100));
        }
        self.observe(&Observation::Priced { at: self.now, offerings });
    }

    fn allow(&mut self, pick: usize, max: u32, min: u32) {
        let offerings = samples::offerings();
        let offering = offerings[pick % offerings.len()].clone();
        self.command(Command::Allow { offering: Box::new(offering), max, min });
    }

    fn remove(&mut self, pick: usize) {
        let rules: Vec<_> = self.state.rules().keys().cloned().collect();
        let Some(place) = pick.checked_rem(rules.len()) else { return };
        let rule = &rules[place];
        let filter = RuleFilter {
            instance_type: Some(rule.instance_type.clone()),
            region: Some(rule.region.clone()),
            purchase: Some(rule.purchase),
        };
        self.command(Command::Remove(filter));
    }

    fn submit(&mut self, jobs: &[Job]) {
        self.minted += 1;
        let run = RunId::from_bits(self.minted.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let shapes = samples::shapes();
        let spec = |(index, job): (u32, &Job)| WorkflowSpec {
            depends_on: (0..8)
                .filter(|bit| job.depends_on >> bit & 1 == 1)
                .filter_map(|bit| index.checked_sub(bit + 1))
                .collect(),
            priority: job.priority,
            retry: job.retry.clone(),
            ..samples::workflow(&format!("w{index}"), shapes[job.shape % shapes.len()].clone())
        };
        let workflows = (0..).zip(jobs).map(spec).collect();
        let name = "run".parse().expect("it is a valid name");
        let submission = Submission { run, name, folder: None, secrets: Vec::new(), workflows, unfit: Unfit::Queue };
        self.command(Command::Submit(Box::new(submission)));
    }

    fn stop(&mut self, run: usize, workflow: Option<usize>, abort: bool) {
        let open: Vec<_> = self.state.open_runs().map(|(id, run)| (id, run.workflows.len())).collect();
        let Some(place) = run.checked_rem(open.len()) else { return };
        let (run, count) = open[place];
        let index = workflow.and_then(|pick| u32::try_from(pick.checked_rem(count)?).ok());
        let workflow = index.map(|index| crate::model::WorkflowId { run, index });
        self.command(Command::Stop { run, workflow, abort });
    }

    pub(super) fn known_tokens(&self, scope: &Scope) -> Vec<Token> {
        let here = self.state.live_runners().filter(|(_, runner)| runner.request.scope == *scope);
        here.map(|(_, runner)| runner.token.clone()).collect()
    }
}
