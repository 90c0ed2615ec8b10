//! Claims as this controller has watched them, on its own clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Boot;
use crate::model::{ClaimNumber, Event, Observation, Record, RunnerId, State};

type Key = (RunnerId, ClaimNumber);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ours {
    /// None of its sends is under way or in doubt.
    Clear,
    /// A send is under way.
    Sending,
    /// A send may have launched: nobody sends under this claim again.
    InDoubt,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    since: Boot,
    ours: Option<Ours>,
}

/// The claims that an append of ours made, and when that append was begun.
#[derive(Debug)]
pub(super) struct Made {
    before: Boot,
    claims: BTreeSet<Key>,
}

impl Made {
    /// Those among these records.
    pub(super) fn by(records: &[Record], before: Boot) -> Self {
        let claim = |record: &Record| match record.event() {
            Some(Event::ClaimMade(made)) => Some((made.runner, made.claim)),
            _ => None,
        };
        Self { before, claims: records.iter().filter_map(claim).collect() }
    }
}

/// Claims that are open, with the moment from which this controller has watched each.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<Key, Watched>);

impl Claims {
    /// Takes in which claims are open. Those that our own append has just made were begun before that append.
    pub(super) fn note(&mut self, state: &State, now: Boot, made: Option<&Made>) {
        let mut open = BTreeSet::new();
        for (id, runner) in state.live_runners() {
            let Some(claim) = runner.open_claim() else { continue };
            let key = (id, claim.number);
            open.insert(key);
            // A claim that we do not remember making is of unknown age, whoever's name it carries: it is only watched.
            let ours = made.filter(|made| made.claims.contains(&key));
            let since = ours.map_or(now, |made| made.before);
            self.0.entry(key).or_insert_with(|| Watched { since, ours: ours.map(|_| Ours::Clear) });
        }
        self.0.retain(|key, _| open.contains(key));
    }

    /// Whether we may send under this claim now: it is ours, nothing is under way or in doubt, and its ttl has not passed.
    pub(super) fn may_send(&self, key: Key, ttl: std::time::Duration, now: Boot) -> bool {
        self.0.get(&key).is_some_and(|claim| claim.ours == Some(Ours::Clear) && now.since(claim.since) < ttl)
    }

    /// When our right to send under this claim began.
    pub(super) fn since(&self, key: Key) -> Option<Boot> {
        self.0.get(&key).map(|claim| claim.since)
    }

    pub(super) fn sending(&mut self, key: Key) {
        self.set(key, Ours::Sending);
    }

    pub(super) fn in_doubt(&mut self, key: Key) {
        self.set(key, Ours::InDoubt);
    }

    pub(super) fn clear(&mut self, key: Key) {
        self.set(key, Ours::Clear);
    }

    fn set(&mut self, key: Key, to: Ours) {
        if let Some(claim) = self.0.get_mut(&key) {
            claim.ours = claim.ours.map(|_| to);
        }
    }

    /// Claims to be closed: our own that can send no more and did nothing, and any that was watched for ttl and margin.
    pub(super) fn over(&self, state: &State, now: Boot) -> Vec<Observation> {
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
            if watched >= timing.claim_ttl.to_std() + timing.claim_margin.to_std() {
                over.push(Observation::ClaimOutwaited { runner, claim });
            }
        }
        over
    }

    /// When a claim is over next, if none of the sends answers before.
    pub(super) fn next_wake(&self, state: &State) -> Option<Boot> {
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
