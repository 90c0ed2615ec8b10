//! When two states are the same: what decides what can happen from here on, and nothing else.
//!
//! Names are replaced by ranks, so that it does not matter which ids were drawn. Processes have no order: they do the same
//! things. Moments are ages, and no older than the shipping code can tell. What is over and can never matter again (a stopped
//! runner without a live machine, a launch under way, or a call) is left out. Two states that look equal here differ in
//! nothing that the shipping functions or the model ask for; that is an argument, not a proof: `tests` compare what follows.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use dstack_core::cloud::Look;
use dstack_core::controller::ClaimKey;
use dstack_core::model::state::{Phase, Rule, Runner, RunnerPhase, Workflow};
use dstack_core::model::{At, AttemptId, MachineId, RunnerId, Span};

use super::act::deadlines;
use super::cloud::{Instance, Life};
use super::process::{Call, Process};
use super::setup::TICK;
use super::world::World;

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        Digest::new(self).world(hasher);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        digest(self) == digest(other)
    }
}

pub(crate) fn digest(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

struct Digest<'a> {
    world: &'a World,
    /// Runners that matter, by their order in the log.
    ranks: BTreeMap<RunnerId, usize>,
    /// Whether a complete look waits to be taken in: its beginning is compared with moments that are long past.
    has_late_look: bool,
}

impl<'a> Digest<'a> {
    fn new(world: &'a World) -> Self {
        let in_cloud = |id: &RunnerId| {
            world.cloud.alive().any(|machine| machine.runner == *id)
                || world.cloud.net.iter().any(|message| message.key.0 == *id)
        };
        let in_hand =
            |id: &RunnerId| world.processes.iter().any(|process| process.calls.keys().any(|(runner, _)| runner == id));
        let has_late_look = world.processes.iter().any(|process| process.look.is_some());
        let matters =
            |(id, runner): &(&RunnerId, &Runner)| runner.may_live() || has_late_look || in_cloud(id) || in_hand(id);
        let ids = world.head.runners().iter().filter(matters).map(|(id, _)| *id);
        Self { world, ranks: ids.zip(0..).collect(), has_late_look }
    }

    fn world<H: Hasher>(&self, hasher: &mut H) {
        let world = self.world;
        (world.budget, world.broken).hash(hasher);
        world.head.is_enabled().hash(hasher);
        for rule in world.head.rules().values() {
            self.rule(rule, hasher);
        }
        for run in world.head.runs().values() {
            run.workflows.iter().for_each(|workflow| self.workflow(workflow, hasher));
        }
        for (id, runner) in world.head.runners() {
            if self.ranks.contains_key(id) {
                self.runner(*id, runner, hasher);
            }
        }
        self.cloud(hasher);
        let mut processes: Vec<u64> = world.processes.iter().map(|process| self.process(process)).collect();
        processes.sort_unstable();
        processes.hash(hasher);
    }

    /// Ticks since then, as far as they can be told apart.
    fn age(&self, since: At, most: Span) -> u64 {
        let age = self.world.now().since(since);
        let age = if self.has_late_look { age } else { age.min(most) };
        age.as_secs() / TICK.as_secs()
    }

    fn key(&self, (runner, claim): ClaimKey) -> (Option<usize>, u32) {
        (self.ranks.get(&runner).copied(), claim.0)
    }

    fn attempt(attempt: AttemptId) -> (u32, u32) {
        (attempt.workflow.index, attempt.number)
    }

    fn rule<H: Hasher>(&self, rule: &Rule, hasher: &mut H) {
        let now = self.world.now();
        (rule.max, rule.blocked.is_some(), rule.strikes).hash(hasher);
        rule.paused_until.is_some_and(|until| now < until).hash(hasher);
        for (zone, known) in rule.unavailable.iter().filter(|(_, known)| known.holds(now)) {
            (zone, known.pause).hash(hasher);
        }
    }

    fn workflow<H: Hasher>(&self, workflow: &Workflow, hasher: &mut H) {
        let phase = match &workflow.phase {
            Phase::Waiting => (0, None),
            Phase::Assigned(runner) => (1, self.ranks.get(runner)),
            Phase::Exited(runner, _) => (2, self.ranks.get(runner)),
            Phase::Over(_) => (3, None),
        };
        (phase, workflow.attempt, workflow.losses, workflow.interruptions).hash(hasher);
    }

    fn runner<H: Hasher>(&self, id: RunnerId, runner: &Runner, hasher: &mut H) {
        let settings = self.world.head.settings();
        let timing = runner.request.timing;
        let timeout = match runner.phase {
            RunnerPhase::Wanted => settings.launch_timeout,
            RunnerPhase::Launched => settings.boot_timeout,
            RunnerPhase::Ready | RunnerPhase::Stopping | RunnerPhase::Stopped(_) => Span::ZERO,
        };
        (runner.phase, self.age(runner.since, timeout), &runner.request.zone).hash(hasher);
        runner.claim.as_ref().map(|claim| (claim.number, claim.end)).hash(hasher);
        runner.idle_since.map(|since| self.age(since, settings.idle_timeout)).hash(hasher);
        match &runner.machine {
            None => runner.claim_closed.map(|closed| self.age(closed, timing.settle)).hash(hasher),
            Some(_) => runner.launched.map(|launched| self.age(launched, timing.settle)).hash(hasher),
        }
        (runner.machine.is_some(), runner.finished > 0, &runner.stop).hash(hasher);
        for attempt in &runner.attempts {
            Self::attempt(*attempt).hash(hasher);
        }
        deadlines(self.world).any(|(other, _)| other == id).hash(hasher);
    }

    fn cloud<H: Hasher>(&self, hasher: &mut H) {
        let world = self.world;
        let mut machines: Vec<_> =
            world.cloud.machines.iter().filter_map(|it| Some((self.ranks.get(&it.runner)?, it))).collect();
        machines.sort_by_key(|(rank, machine)| (*rank, &machine.zone));
        for (rank, machine) in machines {
            let is_new = machine.life == Life::Alive && machine.since == world.tick;
            (rank, &machine.zone, machine.life, is_new).hash(hasher);
            if machine.life == Life::Alive {
                self.begun(machine, hasher);
            }
        }
        let net = world
            .cloud
            .net
            .iter()
            .map(|message| (self.key(message.key), message.send, &message.request.zone, world.tick - message.sent));
        let mut net: Vec<_> = net.collect();
        net.sort_unstable();
        net.hash(hasher);
        for (attempt, machine) in &world.owed_starts {
            (Self::attempt(*attempt), self.machine(machine), self.starts(*attempt)).hash(hasher);
        }
    }

    fn begun<H: Hasher>(&self, machine: &Instance, hasher: &mut H) {
        let is_current = |attempt: &&AttemptId| {
            self.world.head.workflow(attempt.workflow).is_some_and(|workflow| workflow.attempt == attempt.number)
        };
        for attempt in machine.begun.iter().filter(is_current) {
            (Self::attempt(*attempt), self.starts(*attempt)).hash(hasher);
        }
    }

    fn starts(&self, attempt: AttemptId) -> u32 {
        self.world.starts.get(&attempt).copied().unwrap_or(0)
    }

    fn machine(&self, id: &MachineId) -> Option<usize> {
        let machine = self.world.cloud.machines.iter().find(|machine| machine.id == *id)?;
        self.ranks.get(&machine.runner).copied()
    }

    fn process(&self, process: &Process) -> u64 {
        let world = self.world;
        let now = world.boot();
        let mut hasher = DefaultHasher::new();
        process.is_zombie.hash(&mut hasher);
        for (key, claim) in process.claims.iter() {
            let watched = now.since(claim.since).as_secs() / TICK.as_secs();
            (self.key(key), claim.ours, watched).hash(&mut hasher);
        }
        for (key, call) in &process.calls {
            self.key(*key).hash(&mut hasher);
            match call {
                Call::Unsent(end) => (0, end.since(now)).hash(&mut hasher),
                Call::Waiting(send) => (1, send).hash(&mut hasher),
                // An error's words say which one it is.
                Call::Answered(answer) => {
                    (2, answer.is_ok(), answer.as_ref().err().map(ToString::to_string)).hash(&mut hasher);
                }
            }
        }
        (process.evidence.is_lacking(), process.evidence.has_strangers()).hash(&mut hasher);
        let last = process.evidence.last();
        for (id, end) in deadlines(world) {
            (self.ranks.get(&id), last.is_none_or(|last| last < end)).hash(&mut hasher);
        }
        for (id, runner) in world.head.live_runners() {
            self.sighting(id, runner, process, &mut hasher);
        }
        if let Some((began, look)) = &process.look {
            self.late_look(*began, look, &mut hasher);
        }
        hasher.finish()
    }

    /// When the process saw and missed the runner's machine: only the absence of a known one is proven with that.
    fn sighting<H: Hasher>(&self, id: RunnerId, runner: &Runner, process: &Process, hasher: &mut H) {
        if runner.machine.is_some() {
            let timing = runner.request.timing;
            let sighting = process.evidence.sightings().of(&runner.token);
            let missed = sighting.missed.map(|missed| self.age(missed, timing.looks_apart));
            (self.ranks.get(&id), missed, sighting.seen.map(|seen| self.age(seen, timing.settle))).hash(hasher);
        }
    }

    fn late_look<H: Hasher>(&self, began: At, look: &Look, hasher: &mut H) {
        let rank = |token| {
            let mut runners = self.world.head.runners().iter();
            runners.find(|(_, runner)| runner.token == token).and_then(|(id, _)| self.ranks.get(id))
        };
        self.world.now().since(began).hash(hasher);
        for seen in &look.machines {
            (seen.token.clone().map(rank), seen.state).hash(hasher);
        }
        for absence in &look.absent {
            rank(absence.0.clone()).hash(hasher);
        }
    }
}
