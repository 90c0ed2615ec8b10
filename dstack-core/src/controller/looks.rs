//! When each scope is looked at, and what its looks have shown.

use std::collections::BTreeMap;
use std::time::Duration;

use super::evidence::{Evidence, is_fenced};
use super::ports::Options;
use crate::clock::Boot;
use crate::cloud::Look;
use crate::model::plan::ScopeTick;
use crate::model::reconcile::Sighting;
use crate::model::state::RunnerPhase;
use crate::model::{At, Needs, Scope, State, Token};

#[derive(Debug, Default)]
struct Watch {
    evidence: Evidence,
    is_attended: bool,
    looked: Option<Boot>,
    not_before: Boot,
    failures: u32,
}

/// Looks of this controller.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeMap<Scope, Watch>);

impl Looks {
    /// Begins to watch a scope in which something of ours may live, or leaves off. Where runners are only wanted, their
    /// launches are answered sooner than a look would be.
    pub(super) fn attend(&mut self, state: &State, scope: &Scope, now: Boot, options: &Options) {
        let here = || state.live_runners().filter(|(_, runner)| runner.request.scope == *scope);
        let is_awaited = self.is_awaited(state, scope);
        let watch = self.0.entry(scope.clone()).or_default();
        let is_lived_in = here().next().is_some() || is_awaited;
        if is_lived_in && !watch.is_attended {
            let is_only_wanted = !is_awaited && here().all(|(_, runner)| runner.phase == RunnerPhase::Wanted);
            watch.not_before = now.plus(if is_only_wanted { options.busy_look_period } else { Duration::ZERO });
        }
        watch.is_attended = is_lived_in;
        // What began to move after the last look is not left to the long period.
        if watch.looked.is_some() && is_moving(state, scope) {
            self.hurry(scope, now, options.busy_look_period);
        }
    }

    /// When this scope is to be looked at, if at all: where nothing of ours may live, nobody is asked.
    pub(super) fn due(&self, scope: &Scope) -> Option<Boot> {
        self.0.get(scope).filter(|watch| watch.is_attended).map(|watch| watch.not_before)
    }

    /// When the newest complete look of this scope began.
    pub(super) fn last(&self, scope: &Scope) -> Option<At> {
        self.0.get(scope)?.evidence.last()
    }

    /// What a decision may know of this scope, where the provider takes that many launches at once.
    pub(super) fn tick(&self, state: &State, scope: &Scope, launches_at_once: u32) -> ScopeTick {
        let none = Evidence::default();
        self.0.get(scope).map_or(&none, |watch| &watch.evidence).tick(state, scope, launches_at_once)
    }

    /// Whether launches there are safe.
    pub(super) fn may_launch(&self, state: &State, scope: &Scope) -> bool {
        let none = Evidence::default();
        self.0.get(scope).map_or(&none, |watch| &watch.evidence).may_launch(state, scope)
    }

    /// Whether something waits that this scope may start as soon as a look has shown that the log knows every machine there.
    pub(super) fn is_awaited(&self, state: &State, scope: &Scope) -> bool {
        let is_unseen = self.0.get(scope).is_none_or(|watch| watch.evidence.is_lacking());
        let starts = |needs: &Needs| {
            let mut here = state.rules().values().filter(|rule| rule.offering.scope == *scope && rule.max > 0);
            here.any(|rule| needs.fit(&rule.offering))
        };
        let is_wanted = || state.queue().shapes().any(|(needs, _)| starts(needs));
        is_unseen && state.is_enabled() && !is_fenced(state, scope) && is_wanted()
    }

    /// Looks again as soon as possible, but no sooner than `spacing` after the last look: something has changed there.
    pub(super) fn hurry(&mut self, scope: &Scope, now: Boot, spacing: Duration) {
        let watch = self.0.entry(scope.clone()).or_default();
        let soonest = watch.looked.map_or(now, |looked| now.max(looked.plus(spacing)));
        if watch.failures == 0 {
            watch.not_before = watch.not_before.min(soonest);
        }
    }

    /// Takes in a complete look; returns what was known of the machines that it missed.
    pub(super) fn note(
        &mut self,
        state: &State,
        scope: &Scope,
        look: &Look,
        (began, now): (At, Boot),
        options: &Options,
    ) -> BTreeMap<Token, Sighting> {
        let watch = self.0.entry(scope.clone()).or_default();
        let had_strangers = watch.evidence.has_strangers();
        let (sightings, strangers) = watch.evidence.note(state, scope, look, began);
        watch.looked = Some(now);
        watch.failures = 0;
        watch.not_before =
            now.plus(if is_moving(state, scope) { options.busy_look_period } else { options.look_period });
        if !strangers.is_empty() && !had_strangers {
            let ids: Vec<_> = strangers.iter().map(|seen| seen.id.to_string()).collect();
            tracing::error!(
                scope = %scope, machines = ids.join(" "),
                "machines carry this log's tag that it does not know: it is an old copy; nothing is launched here until \
                 they are gone (`dstack runners stop MACHINE` ends one)"
            );
        }
        sightings
    }

    pub(super) fn failed(&mut self, scope: &Scope, now: Boot, options: &Options) -> u32 {
        let watch = self.0.entry(scope.clone()).or_default();
        let wait = options.backoff.saturating_mul(1 << watch.failures.min(16)).min(options.max_backoff);
        watch.failures = watch.failures.saturating_add(1);
        watch.not_before = now.plus(wait);
        watch.failures
    }
}

/// Whether something starts or stops there.
fn is_moving(state: &State, scope: &Scope) -> bool {
    state.live_runners().any(|(_, runner)| runner.request.scope == *scope && runner.phase != RunnerPhase::Ready)
}
