//! Runners: wanted, claimed, launched, ready, stopping, stopped.

use std::sync::Arc;

use crate::model::event::{
    AttemptLost, ClaimClosed, ClaimMade, LaunchFailed, RunnerLaunched, RunnerNoticed, RunnerReady, RunnerStopped,
    RunnerStopping, RunnerWanted,
};
use crate::model::state::{Claim, MAX_STRIKES, Runner, RunnerPhase, Used};
use crate::model::{Certificate, ClaimEnd, Loss, RunnerId, Span, State, StopReason};
use crate::planted::{self, Bug};

/// The first pause after too many strikes; it doubles with each further one.
const STRIKE_PAUSE: Span = Span::from_mins(3);
/// The longest pause after too many strikes.
const MAX_STRIKE_PAUSE: Span = Span::from_mins(60);
/// The same two where a runner costs nothing: on this machine.
const POOLED_STRIKE_PAUSE: Span = Span::from_secs(1);
const MAX_POOLED_STRIKE_PAUSE: Span = Span::from_secs(60);

impl State {
    pub(super) fn runner_wanted(&mut self, event: &RunnerWanted) -> Result<(), String> {
        if self.knows_runner(event.runner) {
            return Err(format!("the runner id {} is taken", event.runner));
        }
        let request = &event.request;
        let rule = self.rules.get(&request.rule).ok_or_else(|| format!("there is no rule {}", request.rule))?;
        let runner = Runner {
            token: request.token(),
            request: Arc::clone(request),
            offering: rule.offering.clone(),
            price: rule.price(),
            wanted: self.at,
            wanted_seq: self.seq,
            phase: RunnerPhase::Wanted,
            since: self.at,
            claim: None,
            claim_closed: None,
            machine: None,
            address: None,
            identity: None,
            launched: None,
            stop: None,
            noticed: false,
            attempts: std::collections::BTreeSet::new(),
            used: Used::default(),
            is_exclusive: false,
            idle_since: None,
            finished: 0,
        };
        self.index_runner(event.runner, &runner);
        self.runners.insert(event.runner, runner);
        Ok(())
    }

    pub(super) fn claim_made(&mut self, event: &ClaimMade) -> Result<(), String> {
        let runner = self.known(event.runner)?;
        let newest = runner.claim.as_ref().map_or(0, |claim| claim.number.0);
        if runner.phase != RunnerPhase::Wanted || runner.open_claim().is_some() || event.claim.0 != newest + 1 {
            return Err(format!("runner {} takes no claim {}", event.runner, event.claim.0));
        }
        self.change_runner(event.runner, |runner| {
            runner.claim = Some(Claim { number: event.claim, controller: event.controller, end: None });
            runner.claim_closed = None;
        });
        Ok(())
    }

    pub(super) fn claim_closed(&mut self, event: &ClaimClosed) -> Result<(), String> {
        self.known(event.runner)?;
        self.close_claim(event.runner, event.claim, event.end);
        Ok(())
    }

    fn close_claim(&mut self, id: RunnerId, number: crate::model::ClaimNumber, end: ClaimEnd) {
        let at = self.at;
        self.change_runner(id, |runner| {
            if let Some(claim) = runner.claim.as_mut().filter(|claim| claim.number == number && claim.end.is_none()) {
                claim.end = Some(end);
                runner.claim_closed = Some(at);
            }
        });
    }

    /// In any phase: a machine is never forgotten.
    pub(super) fn runner_launched(&mut self, event: &RunnerLaunched) -> Result<(), String> {
        let runner = self.known(event.runner)?;
        if runner.machine.as_ref().is_some_and(|known| *known != event.machine) {
            return Err(format!("runner {} has another machine already", event.runner));
        }
        let was_over = !runner.may_live();
        if was_over && planted::is(Bug::MachineAfterEndIgnored) {
            return Ok(());
        }
        let scope = runner.request.scope.clone();
        let at = self.at;
        self.change_runner(event.runner, |runner| {
            runner.machine = Some(event.machine.clone());
            runner.launched.get_or_insert(at);
            if event.address.is_some() {
                runner.address.clone_from(&event.address);
            }
            if let Some(claim) = runner.claim.as_mut().filter(|claim| claim.end.is_none()) {
                claim.end = Some(ClaimEnd::Answered);
                runner.claim_closed = Some(at);
            }
            match runner.phase {
                RunnerPhase::Wanted => {
                    runner.phase = RunnerPhase::Launched;
                    runner.since = at;
                }
                // It was believed never to have lived: its slot is taken until it is proven dead.
                RunnerPhase::Stopped(Certificate::NeverLaunched | Certificate::NotFound | Certificate::Gone) => {
                    runner.phase = RunnerPhase::Stopping;
                    runner.since = at;
                }
                RunnerPhase::Launched
                | RunnerPhase::Ready
                | RunnerPhase::Stopping
                | RunnerPhase::Stopped(Certificate::Terminated | Certificate::Ended) => {}
            }
        });
        // A launch went through: the credentials are accepted again.
        self.credentials.remove(&scope);
        if was_over && self.runners.get(&event.runner).is_some_and(Runner::may_live) {
            self.stopped.retain(|id| *id != event.runner);
        }
        Ok(())
    }

    pub(super) fn launch_failed(&mut self, event: &LaunchFailed) -> Result<(), String> {
        self.known(event.runner)?;
        self.close_claim(event.runner, event.claim, ClaimEnd::Unsent);
        Ok(())
    }

    pub(super) fn runner_ready(&mut self, event: &RunnerReady) -> Result<(), String> {
        let runner = self.known(event.runner)?;
        match runner.phase {
            RunnerPhase::Launched => {
                let at = self.at;
                self.change_runner(event.runner, |runner| {
                    runner.phase = RunnerPhase::Ready;
                    runner.since = at;
                    runner.idle_since = Some(at);
                    runner.identity.clone_from(&event.identity);
                    if event.address.is_some() {
                        runner.address.clone_from(&event.address);
                    }
                });
                Ok(())
            }
            RunnerPhase::Wanted => Err(format!("runner {} is ready before it has a machine", event.runner)),
            RunnerPhase::Ready | RunnerPhase::Stopping | RunnerPhase::Stopped(_) => Ok(()),
        }
    }

    pub(super) fn runner_noticed(&mut self, event: &RunnerNoticed) -> Result<(), String> {
        self.known(event.runner)?;
        self.change_runner(event.runner, |runner| runner.noticed = true);
        Ok(())
    }

    pub(super) fn runner_stopping(&mut self, event: &RunnerStopping) -> Result<(), String> {
        let runner = self.known(event.runner)?;
        if matches!(runner.phase, RunnerPhase::Stopping | RunnerPhase::Stopped(_)) {
            return Ok(());
        }
        let at = self.at;
        self.change_runner(event.runner, |runner| {
            runner.phase = RunnerPhase::Stopping;
            runner.since = at;
            runner.idle_since = None;
            runner.stop = Some(event.reason.clone());
        });
        if planted::is(Bug::RequeuedAtStop) {
            self.lose_all(event.runner);
        }
        Ok(())
    }

    pub(super) fn runner_stopped(&mut self, event: &RunnerStopped) -> Result<(), String> {
        let id = event.runner;
        let runner = self.known(id)?;
        if matches!(runner.phase, RunnerPhase::Stopped(_)) {
            return Ok(());
        }
        let reason = runner.stop.clone().unwrap_or_else(|| event.reason.clone());
        let rule_key = runner.request.rule.clone();
        // A launch that the cloud refused cost nothing, and has a pause of its own.
        let was_launched = event.certificate != Certificate::NeverLaunched;
        let is_strike = !reason.is_wish() && was_launched && runner.finished == 0;
        let noticed = runner.noticed;
        let attempts = runner.attempts.clone();
        let at = self.at;
        self.change_runner(id, |runner| {
            runner.phase = RunnerPhase::Stopped(event.certificate);
            runner.since = at;
            runner.stop = Some(reason.clone());
            runner.idle_since = None;
            runner.attempts.clear();
            runner.used = Used::default();
            runner.is_exclusive = false;
            if let Some(claim) = runner.claim.as_mut().filter(|claim| claim.end.is_none()) {
                claim.end = Some(ClaimEnd::Answered);
                runner.claim_closed = Some(at);
            }
        });
        for attempt in attempts {
            self.lose(attempt, loss_with(&reason, noticed));
        }
        if is_strike && let Some(rule) = self.rules.get_mut(&rule_key) {
            rule.strikes = rule.strikes.saturating_add(1);
            if rule.strikes >= MAX_STRIKES {
                let (first, longest) = if rule.offering.pooled {
                    (POOLED_STRIKE_PAUSE, MAX_POOLED_STRIKE_PAUSE)
                } else {
                    (STRIKE_PAUSE, MAX_STRIKE_PAUSE)
                };
                let doublings = MAX_STRIKES..rule.strikes.min(2 * MAX_STRIKES);
                let pause = doublings.fold(first, |pause, _| pause.doubled_up_to(longest));
                rule.paused_until = Some(at.plus(pause));
            }
        }
        self.hold_runner(id);
        Ok(())
    }

    /// What is on it is lost already.
    fn lose_all(&mut self, id: RunnerId) {
        for attempt in self.runners.get(&id).map(|runner| runner.attempts.clone()).unwrap_or_default() {
            let _fits = self.attempt_lost(&AttemptLost { attempt, loss: Loss::ShutDown });
        }
    }

    fn known(&self, id: RunnerId) -> Result<&Runner, String> {
        self.runners.get(&id).ok_or_else(|| format!("there is no runner {id}"))
    }
}

/// What the end of a runner means for the attempts that were on it.
const fn loss_with(reason: &StopReason, noticed: bool) -> Loss {
    match reason {
        StopReason::Interrupted => Loss::Interrupted,
        StopReason::MaxLowered
        | StopReason::RuleRemoved
        | StopReason::Disabled
        | StopReason::ByHand
        | StopReason::Idle => Loss::ShutDown,
        StopReason::LaunchTimeout
        | StopReason::BootTimeout
        | StopReason::LaunchFailed(_)
        | StopReason::Lost(_)
        | StopReason::Quarantined(_) => {
            if noticed {
                Loss::Interrupted
            } else {
                Loss::RunnerLost
            }
        }
    }
}
