//! What the complete looks of one controller process have shown of one scope.

use std::collections::{BTreeMap, BTreeSet};

use crate::cloud::{Known, Look, Seen};
use crate::model::plan::ScopeTick;
use crate::model::reconcile::{Sighting, Sightings, unknown_machines};
use crate::model::state::{Runner, RunnerPhase};
use crate::model::{At, Scope, Span, State, Token};
use crate::planted::{self, Bug};

/// What the complete looks of one controller process have shown of one scope. It is not in the log: a new process begins
/// with none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Evidence {
    sightings: Sightings,
    /// When the newest complete look began, in log time.
    last: Option<At>,
    /// Machines with our tag that the log does not know were seen: it is an old copy.
    has_strangers: bool,
}

impl Evidence {
    /// When the newest complete look began.
    pub const fn last(&self) -> Option<At> {
        self.last
    }

    /// When machines were last seen and first missed.
    pub const fn sightings(&self) -> &Sightings {
        &self.sightings
    }

    /// Whether machines that the log does not know were seen.
    pub const fn has_strangers(&self) -> bool {
        self.has_strangers
    }

    /// Whether launches in this scope are safe: a look of this process has shown that the log knows every machine that carries
    /// its tag. Where a late launch is fenced by the provider itself, none is waited for.
    pub fn may_launch(&self, state: &State, scope: &Scope) -> bool {
        (self.last.is_some() || is_fenced(state, scope)) && !self.has_strangers
    }

    /// Whether a look has yet to show that the log knows every machine there.
    pub const fn is_lacking(&self) -> bool {
        self.last.is_none() || self.has_strangers
    }

    /// What a decision may know of the scope, where the provider takes that many launches at once.
    pub fn tick(&self, state: &State, scope: &Scope, launches_at_once: u32) -> ScopeTick {
        let allowance = if self.may_launch(state, scope) { launches_at_once } else { 0 };
        ScopeTick { last_look: self.last, allowance }
    }

    /// Takes in a complete look; returns what was known before of the machines that it missed, and the machines that carry
    /// the log's tag and that it does not know.
    pub fn note<'a>(
        &mut self,
        state: &State,
        scope: &Scope,
        look: &'a Look,
        began: At,
    ) -> (BTreeMap<Token, Sighting>, Vec<&'a Seen>) {
        self.last = Some(began);
        let strangers = unknown_machines(state, scope, look);
        self.has_strangers = !strangers.is_empty();
        let before = self.sightings.note(began, look);
        // Who looked before the launch has missed nothing: both looks that prove an absence come after it.
        let was_launched =
            |runner: &Runner| runner.launched.is_some_and(|it| it <= began || planted::is(Bug::EarlyLookCounts));
        let live = state.live_runners().filter(|(_, runner)| was_launched(runner));
        let known: BTreeSet<_> = live.map(|(_, runner)| &runner.token).collect();
        self.sightings.keep_only(|token| known.contains(token));
        (before, strangers)
    }
}

/// Whether the provider proves absence at once, and so keeps a late launch from starting anything.
pub(super) fn is_fenced(state: &State, scope: &Scope) -> bool {
    let mut rules = state.rules().values().filter(|rule| rule.offering.scope == *scope);
    rules.all(|rule| rule.offering.timing.settle == Span::ZERO)
}

/// What a look of this scope must answer for.
pub fn known(state: &State, scope: &Scope) -> Vec<Known> {
    let here = state.live_runners().filter(|(_, runner)| runner.request.scope == *scope);
    here.map(|(_, runner)| Known {
        token: runner.token.clone(),
        machine: runner.machine.clone(),
        is_final: runner.phase == RunnerPhase::Stopping && runner.machine.is_none() && runner.open_claim().is_none(),
        is_unheard: false,
    })
    .collect()
}
