//! A state of the model: the log's fold, the cloud, the processes, and what may still happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dstack_core::clock::Boot;
use dstack_core::model::event::LogCreated;
use dstack_core::model::invariant;
use dstack_core::model::record::Content;
use dstack_core::model::state::RunnerPhase;
use dstack_core::model::{
    AppendId, At, AttemptId, Command, ControllerId, Event, LogId, MachineId, Needs, Record, RecordHash, RunId, Scope,
    State, Submission, Unfit, decide,
};
use dstack_core::testkit::samples;

use super::cloud::Cloud;
use super::process::Process;
use super::setup::{Budget, Setup, TICK};

/// The first moment of the log.
const START: i64 = 1_700_000_000_000_000;

/// A state of the model.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// The fold of the log, at its head.
    pub(crate) head: Arc<State>,
    /// Ticks that have passed.
    pub(crate) tick: u32,
    /// The cloud.
    pub(crate) cloud: Cloud,
    /// The processes. Those that were taken for dead come last.
    pub(crate) processes: Vec<Arc<Process>>,
    /// What may still happen.
    pub(crate) budget: Budget,
    /// Starts of attempts that somebody owes or owed, and that were not made: they may be made at any time later.
    pub(crate) owed_starts: BTreeSet<(AttemptId, MachineId)>,
    /// How often each attempt was started.
    pub(crate) starts: BTreeMap<AttemptId, u32>,
    /// The law that an append broke, if one did.
    pub(crate) broken: Option<&'static str>,
    /// How many ids were drawn.
    pub(crate) minted: u64,
}

impl World {
    /// The state that everything begins with: the rule is allowed, the workflows wait, every process has looked at an empty
    /// cloud.
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut world = Self {
            head: Arc::new(State::default()),
            tick: 0,
            cloud: Cloud::default(),
            processes: Vec::new(),
            budget: setup.budget,
            owed_starts: BTreeSet::new(),
            starts: BTreeMap::new(),
            broken: None,
            minted: 0,
        };
        world.append(&[LogCreated { log: LogId::from_bytes([7; 16]) }.into()]);
        let workflows = (0..setup.workflows).map(|i| samples::workflow(&format!("w{i}"), Needs::default())).collect();
        let submission = Submission {
            run: RunId::from_bits(1),
            name: "run".parse().expect("it is a name"),
            folder: None,
            secrets: Vec::new(),
            workflows,
            unfit: Unfit::Refuse,
        };
        world.command(Command::Allow { offering: Box::new(setup.offering()), max: setup.max, min: 0 });
        world.command(Command::Set(setup.settings()));
        world.command(Command::Submit(Box::new(submission)));
        for _ in 0..setup.processes {
            let mut process = world.born();
            let look = world.cloud.look(&[], 0, true);
            process.evidence.note(&world.head, &world.scope(), &look, world.now());
            world.processes.push(Arc::new(process));
        }
        world
    }

    /// Log time.
    pub(crate) fn now(&self) -> At {
        At::from_micros(START + TICK.as_micros() * i64::from(self.tick))
    }

    /// What the clocks say that count suspension: only their differences are ever used.
    pub(crate) fn boot(&self) -> Boot {
        Boot(TICK.to_std().saturating_mul(self.tick))
    }

    /// The scope of the one rule.
    pub(crate) fn scope(&self) -> Scope {
        samples::scope("acme", "north")
    }

    /// A new process.
    pub(crate) fn born(&mut self) -> Process {
        self.minted += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.minted.to_be_bytes());
        Process::new(ControllerId::from_bytes(id), &self.head, self.boot())
    }

    /// Carries a command of the user out.
    pub(crate) fn command(&mut self, command: Command) {
        let events = decide(&self.head, command).expect("the model asks for what is possible");
        self.append(&events);
        self.all_read();
    }

    /// Appends these events at the head.
    pub(crate) fn append(&mut self, events: &[Event]) {
        let at = self.now();
        let state = Arc::make_mut(&mut self.head);
        for event in events {
            // The one law about what is appended, not about what the log then says.
            if matches!(event, Event::ClaimMade(_) | Event::RunnerWanted(_)) && !state.is_enabled() {
                self.broken.get_or_insert("a claim was made while autoscaling is off");
            }
            let content = Content::Known(event.clone());
            let append = AppendId::from_bytes([0; 16]);
            let record = Record { seq: state.seq().next(), at, append, hash: RecordHash::START, content };
            state.apply(&record);
            if let Event::AttemptAssigned(assigned) = event {
                let machine = state.runners().get(&assigned.runner).and_then(|runner| runner.machine.clone());
                self.owed_starts.extend(machine.map(|machine| (assigned.attempt, machine)));
            }
        }
        if state.faults().count() > 0 {
            self.broken.get_or_insert("an event does not fit into the state");
        } else if let Some((law, _)) = invariant::broken(state) {
            self.broken.get_or_insert(law);
        }
    }

    /// Every process reads the log. Reading early is the worst case: a claim is watched from as early as can be, and whoever
    /// acts late has still read early.
    pub(crate) fn all_read(&mut self) {
        let now = self.boot();
        for process in &mut self.processes {
            let process = Arc::make_mut(process);
            process.claims.note(&self.head, now, None);
        }
    }

    /// A runner that is over by the log, though its machine is alive.
    pub(crate) fn has_false_certificate(&self) -> bool {
        self.cloud.alive().any(|machine| {
            let runner = self.head.runners().get(&machine.runner);
            runner.is_none_or(|runner| matches!(runner.phase, RunnerPhase::Stopped(_)))
        })
    }

    /// Whether some token has two machines.
    pub(crate) fn has_twins(&self) -> bool {
        let mut tokens = BTreeSet::new();
        !self.cloud.machines.iter().all(|machine| tokens.insert(&machine.token))
    }
}
