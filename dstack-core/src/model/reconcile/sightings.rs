//! When machines were last seen and first missed: what absence is proven with.

use std::collections::BTreeMap;

use crate::cloud::Look;
use crate::model::{At, Token};

/// When a machine was last seen, and since when it is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sighting {
    /// When the newest look that saw it began.
    pub seen: Option<At>,
    /// When the first look that missed it began, with no look since that saw it.
    pub missed: Option<At>,
}

/// Sightings of one controller. They are not in the log: after a restart absence is proven anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Sightings(BTreeMap<Token, Sighting>);

impl Sightings {
    /// What is known of this token's machine.
    pub fn of(&self, token: &Token) -> Sighting {
        self.0.get(token).copied().unwrap_or_default()
    }

    /// Takes a complete look in that began at this moment; returns what was known of those that it missed, before it.
    pub fn note(&mut self, began: At, look: &Look) -> BTreeMap<Token, Sighting> {
        for token in look.machines.iter().filter_map(|seen| seen.token.clone()) {
            self.0.insert(token, Sighting { seen: Some(began), missed: None });
        }
        let mut before = BTreeMap::new();
        for absence in &look.absent {
            let known = self.0.entry(absence.0.clone()).or_default();
            before.insert(absence.0.clone(), *known);
            known.missed.get_or_insert(began);
        }
        before
    }

    /// Forgets those that nobody asks for any more.
    pub fn keep_only(&mut self, wanted: impl Fn(&Token) -> bool) {
        self.0.retain(|token, _| wanted(token));
    }
}
