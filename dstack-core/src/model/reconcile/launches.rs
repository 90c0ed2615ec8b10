//! What a launch was answered.

use std::iter;

use crate::cloud::{LaunchError, Machine};
use crate::model::event::{
    CredentialsRefused, LaunchFailed, OfferingUnavailable, RuleBlocked, RunnerLaunched, RunnerStopped, RunnerStopping,
};
use crate::model::state::{Runner, RunnerPhase};
use crate::model::{Certificate, ClaimNumber, Event, RuleKey, RunnerId, Scope, Span, State, StopReason, foreign};
use crate::planted::{self, Bug};

/// How long an offering without capacity is not asked for; it doubles with each further answer of that kind.
const CAPACITY_PAUSE: Span = Span::from_mins(3);
/// The longest such pause, and how long after its end the next answer still doubles it.
const MAX_CAPACITY_PAUSE: Span = Span::from_mins(60);
/// How long an offering is not asked for after the account's quota was reached.
const QUOTA_PAUSE: Span = Span::from_mins(30);
/// How long nothing is launched where the credentials are not accepted; it doubles while they are not.
const CREDENTIALS_PAUSE: Span = Span::from_secs(30);
/// The longest such pause: new credentials are tried within that time, whoever changed them.
const MAX_CREDENTIALS_PAUSE: Span = Span::from_mins(5);

pub(super) fn answered(
    state: &State,
    id: RunnerId,
    claim: ClaimNumber,
    answer: &Result<Machine, LaunchError>,
) -> Vec<Event> {
    let Some(runner) = state.runners().get(&id) else { return Vec::new() };
    match answer {
        Ok(machine) => launched(id, runner, machine),
        Err(LaunchError::Unknown(why)) if planted::is(Bug::UnknownIsRefusal) => {
            refused((id, runner), claim, Refusal::OfTheToken, why, Vec::new())
        }
        // Nothing is known, or nothing was done: the claim's end decides.
        Err(LaunchError::Unknown(_) | LaunchError::Mismatch(_) | LaunchError::Throttled(_)) => Vec::new(),
        Err(LaunchError::Credentials(why)) if runner.may_live() => {
            credentials_refused(state, &runner.request.scope, why)
        }
        Err(LaunchError::Credentials(_)) => Vec::new(),
        Err(LaunchError::Ended) => {
            if !runner.may_live() {
                return Vec::new();
            }
            let reason = StopReason::Lost("it ended right after its launch".to_owned());
            vec![RunnerStopped { runner: id, reason, certificate: Certificate::Ended }.into()]
        }
        Err(LaunchError::Capacity { why, all_zones, permanent }) => {
            let zone = (!all_zones).then(|| runner.request.zone.clone());
            let said = capacity_said(state, runner, zone, *permanent, why);
            refused((id, runner), claim, Refusal::OfTheToken, why, said)
        }
        Err(LaunchError::Quota(why)) => {
            refused((id, runner), claim, Refusal::OfTheToken, why, quota_reached(state, runner, why))
        }
        Err(LaunchError::Denied(why) | LaunchError::Invalid(why)) => {
            let said = RuleBlocked { rule: runner.request.rule.clone(), why: foreign(why) }.into();
            // Rights and forms are judged before the token: that says nothing about what was sent with it before.
            let of = if claim.0 > 1 && !planted::is(Bug::DeniedIsCertificate) {
                Refusal::OfThisSend
            } else {
                Refusal::OfTheToken
            };
            refused((id, runner), claim, of, why, vec![said])
        }
    }
}

fn launched(id: RunnerId, runner: &Runner, machine: &Machine) -> Vec<Event> {
    let mut events = Vec::new();
    if planted::is(Bug::LateMachineForgotten) && runner.phase == RunnerPhase::Stopping {
        return events;
    }
    // A look may have been faster, and may know the address that an answer cannot have yet.
    let is_news = match &runner.machine {
        None => true,
        Some(known) if *known == machine.id => runner.address.is_none() && machine.address.is_some(),
        // Of two machines with one token the second is no part of the log: looks raise the alarm for it.
        Some(_) => return events,
    };
    if is_news {
        let (machine, address) = (machine.id.clone(), machine.address.clone());
        events.push(RunnerLaunched { runner: id, machine, address }.into());
    }
    let asked = runner.request.rule.purchase;
    let is_ending = matches!(runner.phase, RunnerPhase::Stopping | RunnerPhase::Stopped(_));
    if machine.purchase != asked && !is_ending {
        let why = format!("a {asked} machine was asked for, a {} one was given", machine.purchase);
        events.push(RunnerStopping { runner: id, reason: StopReason::Quarantined(why) }.into());
    }
    events
}

/// What a definite refusal speaks of.
#[derive(Clone, Copy)]
enum Refusal {
    /// Of all that was ever sent with the token: it has launched nothing.
    OfTheToken,
    /// Of the newest send alone.
    OfThisSend,
}

/// A definite refusal. It is a death certificate only while the claim it was sent under is the open one: then every earlier
/// claim is closed, and no send of this one is in doubt.
fn refused(
    (id, runner): (RunnerId, &Runner),
    claim: ClaimNumber,
    of: Refusal,
    why: &str,
    said: Vec<Event>,
) -> Vec<Event> {
    if !runner.may_live() {
        return Vec::new();
    }
    let mut events = said;
    let is_open = runner.open_claim().is_some_and(|open| open.number == claim);
    if (is_open || planted::is(Bug::CapacityFreesSlot)) && runner.machine.is_none() {
        events.push(LaunchFailed { runner: id, claim, why: foreign(why) }.into());
        let reason = StopReason::LaunchFailed(foreign(why));
        events.push(match of {
            Refusal::OfTheToken => RunnerStopped { runner: id, reason, certificate: Certificate::NeverLaunched }.into(),
            Refusal::OfThisSend => RunnerStopping { runner: id, reason }.into(),
        });
    }
    events
}

/// The rule, and every other of the same quota that asks for no less.
fn quota_reached(state: &State, runner: &Runner, why: &str) -> Vec<Event> {
    let own = &runner.request.rule;
    let others =
        state.rules().iter().filter(|(key, rule)| *key != own && runner.offering.shares_quota_with(&rule.offering));
    let said = |rule: &RuleKey| OfferingUnavailable {
        rule: rule.clone(),
        zone: None,
        pause: Some(QUOTA_PAUSE),
        why: foreign(why),
    };
    iter::once(own).chain(others.map(|(key, _)| key)).map(|rule| said(rule).into()).collect()
}

/// Nothing happened: launches of the scope pause, ever longer, until one goes through.
pub(super) fn credentials_refused(state: &State, scope: &Scope, why: &str) -> Vec<Event> {
    let known = state.credentials().get(scope);
    if known.is_some_and(|known| known.holds(state.at())) {
        return Vec::new();
    }
    let pause = known.map_or(CREDENTIALS_PAUSE, |known| known.pause.doubled_up_to(MAX_CREDENTIALS_PAUSE));
    vec![CredentialsRefused { scope: scope.clone(), pause, why: foreign(why) }.into()]
}

/// What is said of a zone, or of all of them. Launches that were under way together are refused together, by one shortage: only
/// a refusal after the pause makes the next one longer.
fn capacity_said(state: &State, runner: &Runner, zone: Option<String>, permanent: bool, why: &str) -> Vec<Event> {
    let rule = runner.request.rule.clone();
    let known = state.rules().get(&rule).and_then(|rule| rule.unavailable.get(zone.as_deref().unwrap_or_default()));
    if known.is_some_and(|known| known.holds(state.at()) && (!permanent || known.until.is_none())) {
        return Vec::new();
    }
    let is_recent = |until: crate::model::At| state.at() < until.plus(MAX_CAPACITY_PAUSE);
    let last = known.filter(|known| known.until.is_some_and(is_recent));
    let pause = last.map_or(CAPACITY_PAUSE, |last| last.pause.doubled_up_to(MAX_CAPACITY_PAUSE));
    let pause = (!permanent).then_some(pause);
    vec![OfferingUnavailable { rule, zone, pause, why: foreign(why) }.into()]
}
