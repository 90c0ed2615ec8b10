//! One observation against the state.

use super::{Greeting, Observation, attempts, launches, machines, prices};
use crate::model::event::{ClaimClosed, RunnerNoticed, RunnerReady, RunnerStopped, RunnerStopping};
use crate::model::state::{Runner, RunnerPhase};
use crate::model::{Certificate, ClaimEnd, ClaimNumber, Event, RunnerId, State, StopReason, foreign};
use crate::planted::{self, Bug};

/// The facts that this observation adds to the log; none when the log knows them already.
///
/// Facts stay true whatever came between: they may be appended at any later head.
pub fn reconcile(state: &State, observation: &Observation) -> Vec<Event> {
    match observation {
        Observation::LaunchAnswered { runner, claim, answer, greeting } => {
            let mut events = launches::answered(state, *runner, *claim, answer);
            let has_machine = match events[..] {
                // A look may have seen the machine before its launch was answered.
                [] => answer.is_ok() && is_launched(state, *runner),
                [Event::RunnerLaunched(_)] => true,
                [..] => false,
            };
            if let Some(Greeting { identity }) = greeting.clone().filter(|_| has_machine) {
                events.push(RunnerReady { runner: *runner, address: None, identity }.into());
            }
            events
        }
        Observation::ClaimUnused { runner, claim } => claim_unused(state, *runner, *claim),
        Observation::ClaimOutwaited { runner, claim } if planted::is(Bug::TimeFreesSlot) => {
            claim_unused(state, *runner, *claim)
        }
        Observation::ClaimOutwaited { runner, claim } => claim_closed(state, *runner, *claim, ClaimEnd::Waited),
        Observation::Looked { scope, began, look, sightings } => {
            machines::looked(state, scope, *began, look, sightings)
        }
        Observation::Answered { runner, greeting } => answered(state, *runner, greeting),
        Observation::Changed { runner, why } => changed(state, *runner, why),
        Observation::Noticed { machine, deadline } => state
            .live_runners()
            .filter(|(_, runner)| runner.machine.as_ref() == Some(machine) && !runner.noticed)
            .map(|(runner, _)| RunnerNoticed { runner, deadline: *deadline }.into())
            .collect(),
        Observation::Finished { attempt, exit } => attempts::finished(state, *attempt, *exit),
        Observation::Exited { attempt, exit } => attempts::exited(state, *attempt, *exit),
        Observation::Kept { attempt, manifest, missing } => attempts::kept(state, *attempt, *manifest, missing),
        Observation::Saved { attempt, manifest } => attempts::saved(state, *attempt, *manifest),
        Observation::Unaccepted { scope, why } => launches::credentials_refused(state, scope, why),
        Observation::Priced { at, offerings } => prices::priced(state, *at, offerings),
        Observation::Lost { attempt, loss } => attempts::lost(state, *attempt, loss),
    }
}

fn claim_closed(state: &State, runner: RunnerId, claim: ClaimNumber, end: ClaimEnd) -> Vec<Event> {
    let open = state.runners().get(&runner).and_then(|runner| runner.open_claim());
    match open.filter(|open| open.number == claim) {
        Some(_) => vec![ClaimClosed { runner, claim, end }.into()],
        None => Vec::new(),
    }
}

/// Nothing was ever sent for a runner whose first claim ends unused: if it is being shut down, it is over.
fn claim_unused(state: &State, id: RunnerId, claim: ClaimNumber) -> Vec<Event> {
    let mut events = claim_closed(state, id, claim, ClaimEnd::Unsent);
    let ends = |runner: &&Runner| runner.phase == RunnerPhase::Stopping && runner.machine.is_none();
    if !events.is_empty()
        && (claim.0 == 1 || planted::is(Bug::UnusedIsCertificate))
        && let Some(reason) = state.runners().get(&id).filter(ends).and_then(|runner| runner.stop.clone())
    {
        events.push(RunnerStopped { runner: id, reason, certificate: Certificate::NeverLaunched }.into());
    }
    events
}

fn is_launched(state: &State, id: RunnerId) -> bool {
    state.runners().get(&id).is_some_and(|runner| runner.phase == RunnerPhase::Launched)
}

/// The first answer is pinned. Of two controllers that make the first contact at the same time, the later one's answer is
/// compared with what the earlier one pinned.
fn answered(state: &State, id: RunnerId, greeting: &Greeting) -> Vec<Event> {
    if is_launched(state, id) {
        return vec![RunnerReady { runner: id, address: None, identity: greeting.identity.clone() }.into()];
    }
    let pinned = state.runners().get(&id).and_then(|runner| runner.identity.as_ref());
    match (pinned, &greeting.identity) {
        (Some(pinned), Some(seen)) if pinned != seen => {
            changed(state, id, "another identity answered at the first contact")
        }
        (Some(_) | None, Some(_) | None) => Vec::new(),
    }
}

fn changed(state: &State, id: RunnerId, why: &str) -> Vec<Event> {
    let is_stopping = |phase| matches!(phase, RunnerPhase::Stopping | RunnerPhase::Stopped(_));
    match state.runners().get(&id).filter(|runner| !is_stopping(runner.phase)) {
        Some(_) => vec![RunnerStopping { runner: id, reason: StopReason::Quarantined(foreign(why)) }.into()],
        None => Vec::new(),
    }
}
