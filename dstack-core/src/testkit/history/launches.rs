//! Launches: sent under a claim, landing late, answered or not; claims closed by those who may.

use super::act::Luck;
use super::driver::Driver;
use crate::cloud::{LaunchError, Machine};
use crate::model::state::RunnerPhase;
use crate::model::{Action, At, ClaimNumber, ControllerId, LaunchRequest, Observation, RunnerId, Span, outstanding};

/// A sender waits this long for an answer.
const OPERATION_TIMEOUT: Span = Span::from_secs(10);
/// A launch that was sent takes effect within this time after its sender has given up, or never.
const MAX_LATENESS: Span = Span::from_secs(60);

/// A launch on its way.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    runner: RunnerId,
    claim: ClaimNumber,
    holder: ControllerId,
    request: LaunchRequest,
    at: At,
    landed: Option<Result<Machine, LaunchError>>,
    is_answered: bool,
}

impl Driver {
    /// Sends the launch if its holder lives, has time left under its claim, and no earlier send of the claim is in doubt.
    pub(super) fn send(&mut self, pick: usize) {
        let owed = outstanding(&self.state).into_iter().filter_map(|action| match action {
            Action::Launch { runner, claim, holder, request } => Some((runner, claim, holder, request)),
            _ => None,
        });
        let may_send = |runner, claim, holder| {
            let made = self.claimed.get(&(runner, claim)).copied();
            self.controllers.contains(&holder)
                && made.is_some_and(|made| self.now.since(made) < Span::from_secs(30))
                && !self.doubts.contains(&(runner, claim))
                && !self.sent.iter().any(|sent| (sent.runner, sent.claim) == (runner, claim) && !sent.is_answered)
        };
        let owed: Vec<_> = owed.filter(|(runner, claim, holder, _)| may_send(*runner, *claim, *holder)).collect();
        let Some(place) = pick.checked_rem(owed.len()) else { return };
        let (runner, claim, holder, request) = &owed[place];
        self.sent.push(Sent {
            runner: *runner,
            claim: *claim,
            holder: *holder,
            request: (**request).clone(),
            at: self.now,
            landed: None,
            is_answered: false,
        });
    }

    pub(super) fn land(&mut self, pick: usize, luck: Luck) {
        let flying: Vec<_> = (0..self.sent.len()).filter(|place| self.sent[*place].landed.is_none()).collect();
        let Some(place) = pick.checked_rem(flying.len()) else { return };
        self.land_at(flying[place], luck);
    }

    fn land_at(&mut self, place: usize, luck: Luck) {
        let sent = &mut self.sent[place];
        sent.landed = Some(self.cloud.launch(self.now, &sent.request, luck));
    }

    pub(super) fn answer(&mut self, pick: usize) {
        let open: Vec<_> = (0..self.sent.len())
            .filter(|place| {
                let sent = &self.sent[*place];
                sent.landed.is_some() && !sent.is_answered && self.controllers.contains(&sent.holder)
            })
            .collect();
        let Some(place) = pick.checked_rem(open.len()) else { return };
        let sent = &mut self.sent[open[place]];
        sent.is_answered = true;
        let (runner, claim) = (sent.runner, sent.claim);
        let Some(answer) = sent.landed.clone() else { return };
        self.observe(&Observation::LaunchAnswered { runner, claim, answer, greeting: None });
    }

    /// The sender knows nothing from now on; the launch may land all the same.
    pub(super) fn lose_answer(&mut self, pick: usize) {
        let open: Vec<_> = (0..self.sent.len()).filter(|place| !self.sent[*place].is_answered).collect();
        let Some(place) = pick.checked_rem(open.len()) else { return };
        self.give_up(open[place]);
    }

    fn give_up(&mut self, place: usize) {
        let sent = &mut self.sent[place];
        sent.is_answered = true;
        self.doubts.insert((sent.runner, sent.claim));
        let (runner, claim) = (sent.runner, sent.claim);
        let answer = Err(LaunchError::Unknown("no answer".to_owned()));
        self.observe(&Observation::LaunchAnswered { runner, claim, answer, greeting: None });
    }

    /// Its holder, if it never did anything with it; else whoever has watched it for long enough.
    pub(super) fn close_claim(&mut self, pick: usize) {
        let open = self.state.live_runners().filter_map(|(id, runner)| Some((id, runner.open_claim()?)));
        let open: Vec<_> = open.map(|(id, claim)| (id, claim.number, claim.controller)).collect();
        let Some(place) = pick.checked_rem(open.len()) else { return };
        let (runner, claim, holder) = open[place];
        let Some(made) = self.claimed.get(&(runner, claim)).copied() else { return };
        let Some(timing) = self.state.runners().get(&runner).map(|runner| runner.request.timing) else { return };
        let of_claim = |sent: &&Sent| (sent.runner, sent.claim) == (runner, claim);
        let did_nothing = self.sent.iter().filter(of_claim).all(|sent| {
            let nothing = Some(&sent.landed)
                .and_then(|landed| landed.as_ref())
                .is_some_and(|answer| matches!(answer, Err(LaunchError::Throttled(_) | LaunchError::Credentials(_))));
            sent.is_answered && nothing
        });
        if self.now >= made.plus(timing.claim_ttl).plus(timing.claim_margin) {
            self.observe(&Observation::ClaimOutwaited { runner, claim });
        } else if self.controllers.contains(&holder)
            && did_nothing
            && !self.doubts.contains(&(runner, claim))
            && self.now.since(made) >= timing.claim_ttl
        {
            self.observe(&Observation::ClaimUnused { runner, claim });
        }
    }

    /// Time passes: senders give up, and what was sent lands in time or never.
    pub(super) fn pass(&mut self, span: Span) {
        let then = self.now.plus(span);
        for place in 0..self.sent.len() {
            let sent = &self.sent[place];
            let gives_up = sent.at.plus(OPERATION_TIMEOUT);
            if sent.landed.is_none() && then >= gives_up.plus(MAX_LATENESS) {
                self.land_at(place, Luck::Fine);
            }
            if !self.sent[place].is_answered && then >= gives_up {
                self.give_up(place);
            }
        }
        self.sent.retain(|sent| !sent.is_answered || sent.landed.is_none() || then < sent.at.plus(Span::from_mins(2)));
        self.now = then;
    }

    /// A runner that is over by the log, though its machine lives: a certificate that lied.
    pub fn wrongly_over(&self) -> Option<RunnerId> {
        let alive = |token| self.cloud.alive().any(|(living, _)| living == token);
        let over = self.state.runners().iter().filter(|(_, runner)| matches!(runner.phase, RunnerPhase::Stopped(_)));
        over.filter(|(_, runner)| alive(&runner.token)).map(|(id, _)| *id).next()
    }
}
