//! What the states of a configuration show: a model in which nothing goes wrong would find nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use dstack_core::cloud::LaunchError;
use dstack_core::model::state::{Outcome, Phase, Runner, RunnerPhase};
use dstack_core::model::{Certificate, ClaimEnd};

use super::process::Call;
use super::world::World;

type Sign = fn(&World) -> bool;

/// What is to be met somewhere, or the model has lost a part of the protocol.
pub(crate) const SIGNS: &[(&str, Sign)] = &[
    ("a claim is closed by who has watched it", |world| has_claim_end(world, ClaimEnd::Waited)),
    ("a claim is closed unused by its holder", |world| has_claim_end(world, ClaimEnd::Unsent)),
    ("a runner is sent again under a second claim", |world| {
        runners(world).any(|runner| runner.open_claim().is_some_and(|claim| claim.number.0 > 1))
    }),
    ("a refusal arrives when its claim is closed", late_refusal),
    ("a launch is under way whose claim is closed", |world| {
        world.cloud.net.iter().any(|message| {
            let runner = world.head.runners().get(&message.key.0);
            let open = runner.and_then(Runner::open_claim);
            open.is_none_or(|open| open.number != message.key.1)
        })
    }),
    ("a process that was taken for dead still has a call", |world| {
        world.processes.iter().any(|process| process.is_zombie && !process.calls.is_empty())
    }),
    ("certificate: seen terminated", |world| has_certificate(world, Certificate::Terminated)),
    ("certificate: the cloud says that it ended", |world| has_certificate(world, Certificate::Ended)),
    ("certificate: proven gone", |world| has_certificate(world, Certificate::Gone)),
    ("certificate: never launched", |world| has_certificate(world, Certificate::NeverLaunched)),
    ("certificate: not found", |world| has_certificate(world, Certificate::NotFound)),
    ("a workflow is tried a second time", |world| {
        world.head.runs().values().flat_map(|run| &run.workflows).any(|workflow| workflow.attempt > 1)
    }),
    ("every workflow has succeeded and no machine is left", |world| {
        let succeeded = |phase: &Phase| matches!(phase, Phase::Over(Outcome::Succeeded));
        let mut workflows = world.head.runs().values().flat_map(|run| &run.workflows);
        workflows.all(|workflow| succeeded(&workflow.phase)) && world.head.live_runners().next().is_none()
    }),
    ("two machines live at once", |world| world.cloud.alive().count() > 1),
];

/// The signs that were met, a bit each.
#[derive(Debug, Default)]
pub(crate) struct Reached(AtomicU32);

impl Reached {
    /// Takes in what this state shows.
    pub(crate) fn note(&self, world: &World) {
        let known = self.0.load(Ordering::Relaxed);
        for (place, (_, sign)) in SIGNS.iter().enumerate() {
            if known >> place & 1 == 0 && sign(world) {
                self.0.fetch_or(1 << place, Ordering::Relaxed);
            }
        }
    }

    /// The names of the signs that were met.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let known = self.0.load(Ordering::Relaxed);
        SIGNS.iter().enumerate().filter(|(place, _)| known >> place & 1 == 1).map(|(_, (name, _))| *name).collect()
    }
}

fn runners(world: &World) -> impl Iterator<Item = &Runner> {
    world.head.runners().values()
}

fn has_claim_end(world: &World, end: ClaimEnd) -> bool {
    runners(world).any(|runner| runner.claim.as_ref().is_some_and(|claim| claim.end == Some(end)))
}

fn has_certificate(world: &World, certificate: Certificate) -> bool {
    runners(world).any(|runner| runner.phase == RunnerPhase::Stopped(certificate))
}

fn late_refusal(world: &World) -> bool {
    let calls = world.processes.iter().flat_map(|process| &process.calls);
    let mut refused =
        calls.filter(|(_, call)| matches!(call, Call::Answered(Err(LaunchError::Capacity { .. })))).map(|(key, _)| key);
    refused.any(|(runner, claim)| {
        let runner = world.head.runners().get(runner);
        runner.and_then(Runner::open_claim).is_none_or(|open| open.number != *claim)
    })
}
