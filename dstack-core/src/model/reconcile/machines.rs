//! What a complete look says of runners.

use std::collections::BTreeMap;

use super::sightings::Sighting;
use crate::cloud::{Look, MachineState, Seen};
use crate::model::event::{RunnerLaunched, RunnerStopped, RunnerStopping};
use crate::model::state::{Runner, RunnerPhase};
use crate::model::{At, Certificate, Event, RunnerId, Scope, State, StopReason, Token, foreign};
use crate::planted::{self, Bug};

pub(super) fn looked(
    state: &State,
    scope: &Scope,
    began: At,
    look: &Look,
    sightings: &BTreeMap<Token, Sighting>,
) -> Vec<Event> {
    let runners = runners_by_token(state, scope);
    let mut events = Vec::new();
    for seen in &look.machines {
        if let Some((id, runner)) = runner_of(&runners, seen) {
            events.extend(seen_as(id, runner, seen));
        }
    }
    for absence in &look.absent {
        let Some((id, runner)) = runners.get(&absence.0) else { continue };
        let sighting = sightings.get(&absence.0).copied().unwrap_or_default();
        if let Some(certificate) = absence_proves(runner, began, sighting) {
            let vanished = || StopReason::Lost("the cloud no longer has it".to_owned());
            let reason = runner.stop.clone().unwrap_or_else(vanished);
            events.push(RunnerStopped { runner: *id, reason, certificate }.into());
        }
    }
    events
}

/// Machines that carry this log's tag, live, and are unknown to its head: the log is an old copy.
pub fn unknown_machines<'a>(state: &State, scope: &Scope, look: &'a Look) -> Vec<&'a Seen> {
    let runners = runners_by_token(state, scope);
    // What is proven to have ended may be shown alive for a while by a look that is behind.
    let is_past = |seen: &Seen| state.past_runners.iter().any(|(_, machine)| machine.as_ref() == Some(&seen.id));
    let is_unknown =
        |seen: &&Seen| seen.state != MachineState::Terminated && runner_of(&runners, seen).is_none() && !is_past(seen);
    look.machines.iter().filter(is_unknown).collect()
}

type Runners<'a> = BTreeMap<&'a Token, (RunnerId, &'a Runner)>;

fn runners_by_token<'a>(state: &'a State, scope: &Scope) -> Runners<'a> {
    let here = state.runners().iter().filter(|(_, runner)| runner.request.scope == *scope);
    here.map(|(id, runner)| (&runner.token, (*id, runner))).collect()
}

/// By token, else by id: tags and attributes may be missing.
fn runner_of<'a>(runners: &Runners<'a>, seen: &Seen) -> Option<(RunnerId, &'a Runner)> {
    // A token on another machine than the known one was copied with its tags: it says nothing about ours.
    let is_same = |runner: &Runner| runner.machine.as_ref().is_none_or(|known| *known == seen.id);
    match seen.token.as_ref().and_then(|token| runners.get(token)).filter(|(_, runner)| is_same(runner)) {
        Some(found) => Some(*found),
        None => runners.values().find(|(_, runner)| runner.machine.as_ref() == Some(&seen.id)).copied(),
    }
}

fn seen_as(id: RunnerId, runner: &Runner, seen: &Seen) -> Vec<Event> {
    let mut events = Vec::new();
    let is_forgotten = planted::is(Bug::LateMachineForgotten) && runner.phase == RunnerPhase::Stopping;
    let is_new = runner.machine.is_none() && !is_forgotten;
    let has_moved = seen.address.is_some() && runner.address != seen.address;
    // It was believed to be gone, or never to have been: it takes its slot again, and is ended again.
    let is_back = matches!(
        runner.phase,
        RunnerPhase::Stopped(Certificate::NeverLaunched | Certificate::NotFound | Certificate::Gone)
    );
    if seen.state != MachineState::Terminated && (is_new || has_moved || is_back) {
        let launched = RunnerLaunched { runner: id, machine: seen.id.clone(), address: seen.address.clone() };
        events.push(launched.into());
    }
    let is_over = match seen.state {
        MachineState::Halted => planted::is(Bug::HaltedIsOver),
        MachineState::ShuttingDown => planted::is(Bug::ShuttingDownIsOver),
        MachineState::Pending | MachineState::Running | MachineState::Terminated => false,
    };
    match if is_over { MachineState::Terminated } else { seen.state } {
        MachineState::Pending | MachineState::Running => {}
        MachineState::Halted | MachineState::ShuttingDown => {
            let is_ending = matches!(runner.phase, RunnerPhase::Stopping | RunnerPhase::Stopped(_));
            if !is_ending {
                events.push(RunnerStopping { runner: id, reason: reason_of_end(runner, seen) }.into());
            }
        }
        MachineState::Terminated => {
            if runner.may_live() {
                let reason = reason_of_end(runner, seen);
                events.push(RunnerStopped { runner: id, reason, certificate: Certificate::Terminated }.into());
            }
        }
    }
    events
}

/// Why the runner is over: what it was stopped for, else whatever befell it.
fn reason_of_end(runner: &Runner, seen: &Seen) -> StopReason {
    if let Some(reason) = &runner.stop {
        return reason.clone();
    }
    if runner.noticed || seen.is_taken_back {
        return StopReason::Interrupted;
    }
    StopReason::Lost(seen.reason.as_deref().map_or_else(|| "it ended without us".to_owned(), foreign))
}

fn absence_proves(runner: &Runner, began: At, sighting: Sighting) -> Option<Certificate> {
    let timing = runner.request.timing;
    match (&runner.machine, runner.phase) {
        (_, RunnerPhase::Stopped(_)) => None,
        (Some(_), _) => {
            let known = sighting.seen.into_iter().chain(runner.launched).max()?;
            let missed_before = sighting.missed.is_some_and(|first| began >= first.plus(timing.looks_apart))
                || planted::is(Bug::OneLookProves);
            let has_settled = began >= known.plus(timing.settle) || planted::is(Bug::SettleSkipped);
            (has_settled && missed_before).then_some(Certificate::Gone)
        }
        (None, RunnerPhase::Stopping) => {
            let closed = runner.claim_closed.filter(|_| runner.open_claim().is_none())?;
            (began >= closed.plus(timing.settle) || planted::is(Bug::SettleSkipped)).then_some(Certificate::NotFound)
        }
        (None, RunnerPhase::Wanted) if planted::is(Bug::LookInsteadOfRedelivery) => {
            runner.open_claim().is_none().then_some(Certificate::NotFound)
        }
        // Still wanted: it is sent again with the same token, under a new claim.
        (None, RunnerPhase::Wanted | RunnerPhase::Launched | RunnerPhase::Ready) => None,
    }
}
