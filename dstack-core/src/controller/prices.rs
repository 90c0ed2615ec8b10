//! Prices of what is allowed, asked for about hourly where something of ours lives or is waited for.

use std::collections::BTreeSet;
use std::time::Duration;

use super::control::Controller;
use super::effect::{self, EffectKey};
use crate::model::{Purchase, RuleKey, Scope, Span};

/// Between two questions: prices of spot machines move slowly, and none is recorded more often.
const PERIOD: Span = Span::from_mins(60);

impl Controller {
    /// Asks for the prices of a scope whose rules are an hour behind. List prices stand still.
    pub(super) fn start_prices(&mut self) {
        let state = self.client.state();
        let mut due: Vec<(Scope, BTreeSet<RuleKey>)> = Vec::new();
        for scope in state.scopes() {
            let asked = self.prices_asked.get(&scope);
            let is_early = asked.is_some_and(|asked| self.now_boot.since(*asked) < PERIOD.to_std());
            if is_early || self.looks.due(&scope).is_none() {
                continue;
            }
            let here = state.rules().iter().filter(|(key, rule)| {
                rule.offering.scope == scope && key.purchase == Purchase::Spot && self.now >= rule.priced.plus(PERIOD)
            });
            let rules: BTreeSet<RuleKey> = here.map(|(key, _)| key.clone()).collect();
            if !rules.is_empty() {
                due.push((scope, rules));
            }
        }
        for (scope, rules) in due {
            let Some(provider) = self.ports.of(&scope).cloned() else { continue };
            self.prices_asked.insert(scope.clone(), self.now_boot);
            let call = effect::prices(provider, scope.clone(), rules, self.now);
            self.spawn(EffectKey::Prices(scope), call);
        }
    }

    /// The question had no answer: it is asked again before the hour is over.
    pub(super) fn prices_failed(&mut self, scope: &Scope, why: &str) {
        tracing::warn!(%scope, why, "the prices are not known");
        let retry = PERIOD.to_std().saturating_sub(Duration::from_secs(300));
        let asked = crate::clock::Boot(self.now_boot.0.saturating_sub(retry));
        self.prices_asked.insert(scope.clone(), asked);
    }
}
