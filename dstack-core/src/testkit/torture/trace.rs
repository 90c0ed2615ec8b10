//! A workload of one's own in the simulator: faults and interruptions go on until all of it is done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::observer::Violation;
use super::schedule::Schedule;
use super::swarm::{Swarm, SwarmRule};
use super::user;
use crate::clock::Boot;
use crate::cloud::FakeMachine;
use crate::model::state::Outcome as End;
use crate::model::state::Phase;
use crate::model::{Command, Event, Purchase, RunId, Settings, Span, Submission, Unfit, WorkflowId, WorkflowSpec};

/// Most losses of one workflow: none is given up.
const MAX_LOSSES: u32 = 1_000_000;

/// A workload, and when the cloud takes machines back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// When each run is submitted, and its workflows. A workflow runs for as many seconds as its program's second word says.
    pub runs: Vec<(Span, Vec<WorkflowSpec>)>,
    /// The rules.
    pub rules: Vec<SwarmRule>,
    /// When a machine is taken back, in order.
    pub interruptions: Vec<Span>,
}

/// What came of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// The property that was broken, if one was.
    pub violation: Option<Violation>,
    /// Workflows.
    pub workflows: u64,
    /// Workflows that succeeded.
    pub succeeded: u64,
    /// Machines that the cloud took back.
    pub interrupted: u64,
    /// The most machines at once, by type and purchase.
    pub most: BTreeMap<(String, Purchase), usize>,
    /// Machines that were launched.
    pub machines: usize,
    /// Choices that were made.
    pub steps: u64,
    /// Virtual time that passed.
    pub virtual_secs: u64,
    /// How often each fault came about.
    pub faults: BTreeMap<String, u64>,
}

/// What a schedule does in the place of its own user and jobs.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    /// Commands, the last one first.
    pub(super) commands: Vec<(Boot, Command)>,
    /// When machines are taken back, the last one first.
    pub(super) interruptions: Vec<Boot>,
    pub(super) interrupted: u64,
    /// What the user has asked and not heard of yet.
    pub(super) current: Option<Command>,
}

impl Script {
    fn new(trace: &Trace) -> Self {
        let settings = Settings { max_losses: MAX_LOSSES, max_interruptions: MAX_LOSSES, ..Settings::default() };
        let mut commands = vec![(Boot::default(), Command::Set(settings))];
        commands.extend(trace.rules.iter().map(|rule| (Boot::default(), user::allow(rule, rule.max, 0))));
        for (number, (at, workflows)) in (1..).zip(&trace.runs) {
            let name = format!("run-{number}").parse().expect("it is a name");
            let (run, workflows) = (RunId::from_bits(number), workflows.clone());
            let submission =
                Submission { run, name, folder: None, secrets: Vec::new(), workflows, unfit: Unfit::Queue };
            commands.push((Boot(at.to_std()), Command::Submit(Box::new(submission))));
        }
        commands.reverse();
        let interruptions = trace.interruptions.iter().rev().map(|at| Boot(at.to_std())).collect();
        Self { commands, interruptions, interrupted: 0, current: None }
    }
}

/// Options for a workload: this many controllers, with the faults that pass by themselves, each at a small rate.
pub fn trace_options(seed: u64, controllers: u32, trace: &Trace) -> Swarm {
    let mut swarm = Swarm::derive(seed);
    let left_out = [
        "cloud.denied",
        "cloud.invalid",
        "cloud.unsupported",
        "cloud.stranger_of_ours",
        "engine.other_options",
        "store.newer_record",
    ];
    swarm.rates = super::fault::KINDS
        .iter()
        .filter(|kind| !left_out.contains(&kind.name) && !kind.name.starts_with("job."))
        .filter_map(|kind| match kind.chance {
            super::fault::Chance::PerMille(most) => Some((kind.name.to_owned(), 1 + most / 20)),
            super::fault::Chance::PerMillion(most) => Some((kind.name.to_owned(), 1 + most / 10)),
            super::fault::Chance::ByItself => None,
        })
        .collect();
    swarm.rules.clone_from(&trace.rules);
    (swarm.controllers, swarm.lag, swarm.quick) = (controllers, 20, 800);
    swarm
}

/// Runs a workload in the simulator. Faults go on until all of it is done, for up to `bound` after its last submission.
pub fn run_trace(trace: &Trace, swarm: &Swarm, bound: Duration) -> Traced {
    let mut schedule = Schedule::new(swarm).with_script(Script::new(trace));
    let last = trace.runs.iter().map(|(at, _)| at.to_std()).max().unwrap_or_default();
    let violation = schedule.run_script(Boot(last + bound)).err();
    let workflows: usize = trace.runs.iter().map(|(_, workflows)| workflows.len()).sum();
    Traced {
        violation,
        workflows: workflows as u64,
        succeeded: schedule.succeeded(),
        interrupted: schedule.script.as_ref().map_or(0, |script| script.interrupted),
        most: schedule.truth.cloud.max_live_each(),
        machines: schedule.truth.cloud.machine_count(),
        steps: schedule.observer.step,
        virtual_secs: schedule.now().0.as_secs(),
        faults: schedule.all_hits(),
    }
}

impl Schedule<'_> {
    fn run_script(&mut self, end: Boot) -> Result<(), Violation> {
        self.chaos_end = end;
        while !self.is_done() {
            self.step()?;
            if self.now() >= end {
                return Err(self.observer.violation("settled", "the work is not done in time"));
            }
        }
        self.settle()
    }

    fn is_done(&self) -> bool {
        let is_given = self.script.as_ref().is_none_or(|script| script.commands.is_empty());
        is_given && self.observer.state.open_runs().next().is_none() && !self.is_commanding()
    }

    /// The user has an answer, or none: what may not be in the log is asked again.
    pub(super) fn was_told(&mut self, answer: &str) {
        let now = self.now();
        let Some(script) = &mut self.script else { return };
        let Some(command) = script.current.take() else { return };
        if !matches!(answer, "done" | "rejected") {
            script.commands.push((now, command));
            self.ask_next(now.plus(Duration::from_secs(5)));
        }
    }

    /// Workflows whose results were kept after a success, by the log.
    fn succeeded(&self) -> u64 {
        let mut done: BTreeMap<WorkflowId, bool> = BTreeMap::new();
        for record in &self.observer.records {
            if let Some(Event::AttemptExited(exited)) = record.event() {
                done.insert(exited.attempt.workflow, exited.exit.is_success());
            }
        }
        for (run, found) in self.observer.state.runs() {
            for (index, workflow) in (0..).zip(&found.workflows) {
                if workflow.phase != Phase::Over(End::Succeeded) {
                    done.insert(WorkflowId { run: *run, index }, false);
                }
            }
        }
        done.values().filter(|is_success| **is_success).count() as u64
    }

    /// Takes machines back whose time has come: whichever spot machine runs.
    pub(super) fn interrupt_due(&mut self) {
        let now = self.now();
        while self.script.as_ref().is_some_and(|script| script.interruptions.last().is_some_and(|at| *at <= now)) {
            if let Some(script) = &mut self.script {
                script.interruptions.pop();
            }
            let mut machines = self.truth.cloud.machines();
            let is_spot = |machine: &FakeMachine| machine.is_live() && machine.purchase == Purchase::Spot;
            machines.retain(|machine| machine.token.is_some() && is_spot(machine));
            let place = usize::try_from(self.draw.below(machines.len() as u64)).unwrap_or(0);
            let Some(machine) = machines.get(place) else { continue };
            if self.draw.chance(700) {
                self.truth.cloud.interrupt(&machine.id);
            } else {
                self.truth.cloud.interrupt_unannounced(&machine.id);
            }
            if let Some(script) = &mut self.script {
                script.interrupted += 1;
            }
        }
    }
}
