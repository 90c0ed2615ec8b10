//! Logs of a given size, made without a controller.

use dstack_core::model::event::{
    AttemptAssigned, AttemptExited, ClaimMade, LogCreated, ResultsKept, RuleAllowed, RunSubmitted, RunnerLaunched,
    RunnerReady, RunnerWanted, WorkflowSubmitted,
};
use dstack_core::model::plan::ScopeTick;
use dstack_core::model::{
    AppendId, At, AttemptId, Bytes, ClaimNumber, Content, ControllerId, Event, Exit, LaunchId, LaunchRequest, LogId,
    MachineId, MilliCpu, Needs, Offering, Purchase, Record, RecordHash, RunId, RunnerId, Seq, State, Tick, WorkflowId,
};
use dstack_core::testkit::samples;

/// A log that grows, and its state.
#[derive(Debug, Clone)]
pub struct World {
    /// The state at its end.
    pub state: State,
    /// Its records.
    pub records: Vec<Record>,
    hash: RecordHash,
}

const APPEND: AppendId = AppendId::from_bytes([9; 16]);

/// The offering of the rule with this number: twenty of them, each dearer than the one before.
pub fn offering(number: u64) -> Offering {
    let mut offering = samples::offering(&format!("type-{number}"), Purchase::OnDemand, 16);
    offering.price = Some(dstack_core::model::MicroUsd(100_000 + number));
    offering
}

/// The needs with this number: small ones, which may share, and each shape is another.
pub fn shape(number: u64) -> Needs {
    Needs { cpu: Some(MilliCpu(1_000 + number)), memory: Some(Bytes::from_mib(1_024 + number)), ..Needs::default() }
}

impl Default for World {
    fn default() -> Self {
        let mut world = Self { state: State::default(), records: Vec::new(), hash: RecordHash::START };
        world.add(LogCreated { log: LogId::from_bytes([7; 16]) });
        world
    }
}

impl World {
    /// Encodes, hashes and folds one more event.
    pub fn add(&mut self, event: impl Into<Event>) {
        let event = event.into();
        let seq = self.state.seq().next();
        let at = At::from_micros(1_000_000 + i64::try_from(seq.get()).unwrap_or(0));
        self.hash = self.hash.next(seq, at, APPEND, 0, &event.encode());
        let record = Record { seq, at, append: APPEND, hash: self.hash, content: Content::Known(event) };
        self.state.apply(&record);
        self.records.push(record);
    }

    /// Twenty rules of this maximum.
    pub fn with_rules(max: u32) -> Self {
        Self::with_many_rules(20, max)
    }

    /// That many rules of this maximum.
    pub fn with_many_rules(rules: u64, max: u32) -> Self {
        let mut world = Self::default();
        for number in 0..rules {
            world.add(RuleAllowed { max, min: 0, offering: offering(number) });
        }
        world
    }

    /// A run of that many workflows, in so many shapes.
    pub fn submit(&mut self, run: u64, workflows: u32, shapes: u64) {
        let (id, name) = (RunId::from_bits(run), "run".parse().expect("it is a name"));
        self.add(RunSubmitted { run: id, name, workflows, folder: None, secrets: Vec::new() });
        for index in 0..workflows {
            let spec = samples::workflow("w", shape(u64::from(index) % shapes));
            self.add(WorkflowSubmitted { id: WorkflowId { run: id, index }, spec: std::sync::Arc::new(spec) });
        }
    }

    /// That many ready runners, spread over the rules.
    pub fn runners(&mut self, count: u64) {
        let rules = u64::try_from(self.state.rules().len()).unwrap_or(1).max(1);
        for number in 0..count {
            let offering = offering(number % rules);
            let runner = RunnerId::from_bits(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let request =
                LaunchRequest::new(LogId::from_bytes([7; 16]), LaunchId::from_bits(number), &offering, "a".to_owned());
            self.add(RunnerWanted { runner, request: std::sync::Arc::new(request) });
            self.add(ClaimMade { runner, claim: ClaimNumber(1), controller: ControllerId::from_bytes([1; 16]) });
            let address = Some(dstack_core::model::Address("here".to_owned()));
            self.add(RunnerLaunched { runner, machine: MachineId(format!("m{number}")), address });
            self.add(RunnerReady { runner, address: None, identity: None });
        }
    }

    /// Every ready runner is given one workflow of the run that takes all of it.
    pub fn fill(&mut self, run: u64) {
        let runners: Vec<RunnerId> = self.state.runners().keys().copied().collect();
        let run = RunId::from_bits(run);
        let name = "fill".parse().expect("it is a name");
        let workflows = u32::try_from(runners.len()).expect("they are few");
        self.add(RunSubmitted { run, name, workflows, folder: None, secrets: Vec::new() });
        for (index, runner) in (0..).zip(runners) {
            let workflow = WorkflowId { run, index };
            // Some room is left, and too little for anybody: the dear way to be full.
            let needs = Needs { cpu: Some(MilliCpu(15_500 + u64::from(index) % 10)), ..shape(0) };
            self.add(WorkflowSubmitted { id: workflow, spec: std::sync::Arc::new(samples::workflow("w", needs)) });
            self.add(AttemptAssigned { attempt: AttemptId { workflow, number: 1 }, runner });
        }
    }

    /// What a controller that has just looked knows.
    pub fn tick(&self) -> Tick {
        let at = self.state.at();
        let known = ScopeTick { last_look: Some(at), allowance: 1_000 };
        Tick { at, scopes: self.state.scopes().into_iter().map(|scope| (scope, known)).collect(), ..Tick::default() }
    }

    /// Workflows that run to their end on this many runners: four events each.
    pub fn happy(workflows: u32, runners: u64) -> Self {
        let mut world = Self::with_rules(u32::MAX);
        world.runners(runners);
        let ids: Vec<RunnerId> = world.state.runners().keys().copied().collect();
        world.submit(1, workflows, 50);
        let run = RunId::from_bits(1);
        for (index, runner) in (0..workflows).zip(ids.iter().cycle()) {
            let attempt = AttemptId { workflow: WorkflowId { run, index }, number: 1 };
            world.add(AttemptAssigned { attempt, runner: *runner });
            world.add(AttemptExited { attempt, exit: Exit::exited(0) });
            world.add(ResultsKept { attempt, manifest: None, missing: Vec::new() });
        }
        world
    }

    /// The place of its end.
    pub fn seq(&self) -> Seq {
        self.state.seq()
    }
}
