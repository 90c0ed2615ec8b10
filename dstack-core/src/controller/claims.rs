//! Claims as one controller process has watched them, on its own clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Boot;
use crate::cloud::{LaunchError, Machine};
use crate::model::{ClaimNumber, Event, Observation, Record, RunnerId, State};
use crate::planted::{self, Bug};

/// Which claim: its runner, and its number there.
pub type ClaimKey = (RunnerId, ClaimNumber);

/// How a claim of our own stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ours {
    /// None of its sends is under way or in doubt.
    Clear,
    /// A send is under way.
    Sending,
    /// A send may have launched: nobody sends under this claim again.
    InDoubt,
}

/// An open claim as it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Watched {
    /// From when on; for one of our own, from before it was made.
    pub since: Boot,
    /// How it stands, if it is ours and we remember making it.
    pub ours: Option<Ours>,
}

/// The claims that an append of ours made, and when that append was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    before: Boot,
    claims: BTreeSet<ClaimKey>,
}

impl Made {
    /// These, by an append that was begun at `before`.
    pub fn new(claims: impl IntoIterator<Item = ClaimKey>, before: Boot) -> Self {
        Self { before, claims: claims.into_iter().collect() }
    }

    /// Those among the records of an append that was begun at `before`.
    pub(super) fn by(records: &[Record], before: Boot) -> Self {
        let claim = |record: &Record| match record.event() {
            Some(Event::ClaimMade(made)) => Some((made.runner, made.claim)),
            _ => None,
        };
        Self::new(records.iter().filter_map(claim), before)
    }
}

/// Claims that are open, with the moment from which one controller process has watched each: rules 2 and 3 of the protocol.
///
/// It has no clock of its own: it is told what its controller's clock, which counts suspension, says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Claims(BTreeMap<ClaimKey, Watched>);

impl Claims {
    /// The open claims that are watched.
    pub fn iter(&self) -> impl Iterator<Item = (ClaimKey, Watched)> {
        self.0.iter().map(|(key, claim)| (*key, *claim))
    }

    /// Takes in which claims are open. Those that our own append has just made were begun before that append.
    pub fn note(&mut self, state: &State, now: Boot, made: Option<&Made>) {
        let mut open = BTreeSet::new();
        for (id, runner) in state.live_runners() {
            let Some(claim) = runner.open_claim() else { continue };
            let key = (id, claim.number);
            open.insert(key);
            // A claim that we do not remember making is of unknown age, whoever's name it carries: it is only watched.
            let ours = made.filter(|made| made.claims.contains(&key));
            let since = ours.map_or(now, |made| made.before);
            let is_ours = ours.is_some() || planted::is(Bug::ForeignClaim);
            self.0.entry(key).or_insert_with(|| Watched { since, ours: is_ours.then_some(Ours::Clear) });
        }
        self.0.retain(|key, _| open.contains(key));
    }

    /// Until when we may send under this claim, if we may now: it is ours, nothing is under way or in doubt, and less than its
    /// ttl has passed since before we made it.
    pub fn send_before(&self, key: ClaimKey, ttl: std::time::Duration, now: Boot) -> Option<Boot> {
        if planted::is(Bug::ClaimDropped) {
            return Some(now.plus(ttl));
        }
        let claim = self.0.get(&key).filter(|claim| claim.ours == Some(Ours::Clear))?;
        Some(claim.since.plus(ttl)).filter(|end| now < *end || planted::is(Bug::LateSend))
    }

    /// A send is under way from now on.
    pub fn sending(&mut self, key: ClaimKey) {
        self.set(key, Ours::Sending);
    }

    /// The send that was under way never left.
    pub fn unsent(&mut self, key: ClaimKey) {
        self.set(key, Ours::Clear);
    }

    /// The send that was under way was answered, or waited for in vain. Says whether it did nothing and may be sent again.
    pub fn answered(&mut self, key: ClaimKey, answer: &Result<Machine, LaunchError>) -> bool {
        let did_nothing = match answer {
            Err(LaunchError::Throttled(_) | LaunchError::Credentials(_)) => true,
            Err(LaunchError::Unknown(_)) if planted::is(Bug::UnknownIsNothing) => true,
            Ok(_)
            | Err(
                LaunchError::Unknown(_)
                | LaunchError::Capacity { .. }
                | LaunchError::Quota(_)
                | LaunchError::Denied(_)
                | LaunchError::Invalid(_)
                | LaunchError::Mismatch(_)
                | LaunchError::Ended,
            ) => false,
        };
        self.set(key, if did_nothing { Ours::Clear } else { Ours::InDoubt });
        did_nothing
    }

    fn set(&mut self, key: ClaimKey, to: Ours) {
        if let Some(claim) = self.0.get_mut(&key) {
            claim.ours = claim.ours.map(|_| to);
        }
    }

    /// Claims to be closed: our own that can send no more and did nothing, and any that was watched for ttl and margin.
    pub fn over(&self, state: &State, now: Boot) -> Vec<Observation> {
        let mut over = Vec::new();
        for ((id, number), claim) in &self.0 {
            let Some(runner) = state.runners().get(id) else { continue };
            let timing = runner.request.timing;
            let watched = now.since(claim.since);
            let has_run_out = watched >= timing.claim_ttl.to_std();
            let (runner, claim) = match claim.ours {
                Some(Ours::Clear) if has_run_out || !runner.is_starting() => {
                    over.push(Observation::ClaimUnused { runner: *id, claim: *number });
                    continue;
                }
                Some(Ours::Sending | Ours::Clear) => continue,
                Some(Ours::InDoubt) | None => (*id, *number),
            };
            let is_outwaited = watched >= timing.claim_ttl.to_std() + timing.claim_margin.to_std()
                || planted::is(Bug::ClaimClosedAtSight)
                || (has_run_out && planted::is(Bug::ClaimWithoutMargin));
            if is_outwaited {
                over.push(Observation::ClaimOutwaited { runner, claim });
            }
        }
        over
    }

    /// When a claim is over next, if none of the sends answers before.
    pub fn next_wake(&self, state: &State) -> Option<Boot> {
        let ends = self.0.iter().filter_map(|((id, _), claim)| {
            let timing = state.runners().get(id)?.request.timing;
            let ttl = timing.claim_ttl.to_std();
            match claim.ours {
                Some(Ours::Clear) => Some(claim.since.plus(ttl)),
                Some(Ours::Sending) => None,
                Some(Ours::InDoubt) | None => Some(claim.since.plus(ttl + timing.claim_margin.to_std())),
            }
        });
        ends.min()
    }
}
