//! What the runners themselves say of their end, as far as this process listens to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::Hearing;
use crate::model::RunnerId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ear {
    /// It was asked, and has not said yet whether it hears anything.
    Asked,
    /// The last try to listen to it failed.
    OutOfReach,
    Heard(Hearing),
}

/// The runners that are listened to. Losing it costs asking them again.
#[derive(Debug, Default)]
pub(super) struct Ears(BTreeMap<RunnerId, Ear>);

impl Ears {
    /// What this runner said last; nothing after it was out of reach.
    pub(super) fn last(&self, runner: RunnerId) -> Option<Hearing> {
        match self.0.get(&runner)? {
            Ear::Heard(hearing) => Some(*hearing),
            Ear::Asked | Ear::OutOfReach => None,
        }
    }

    /// It is listened to from now on.
    pub(super) fn ask(&mut self, runner: RunnerId) {
        self.0.entry(runner).or_insert(Ear::Asked);
    }

    pub(super) fn heard(&mut self, runner: RunnerId, hearing: Hearing) {
        self.0.insert(runner, Ear::Heard(hearing));
    }

    pub(super) fn failed(&mut self, runner: RunnerId) {
        self.0.insert(runner, Ear::OutOfReach);
    }

    /// Whether the runner will not tell us: its cloud is to be asked.
    pub(super) fn is_unheard(&self, runner: RunnerId) -> bool {
        matches!(self.0.get(&runner), Some(Ear::OutOfReach | Ear::Heard(Hearing::Deaf)))
    }

    /// Forgets all others; returns those that it knew.
    pub(super) fn keep_only(&mut self, runners: &BTreeSet<RunnerId>) -> Vec<RunnerId> {
        let over = self.0.keys().filter(|runner| !runners.contains(runner)).copied().collect();
        self.0.retain(|runner, _| runners.contains(runner));
        over
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
