//! Rules, settings and what the cloud says about offerings.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::event::{
    CredentialsRefused, LogCreated, OfferingUnavailable, PriceSeen, RuleAllowed, RuleBlocked, RuleRemoved,
    SettingsChanged,
};
use crate::model::state::{Rule, Unavailable};
use crate::model::{Span, State};

impl State {
    pub(super) fn log_created(&mut self, event: &LogCreated) -> Result<(), String> {
        if self.log.is_some() {
            return Err("the log was created before".to_owned());
        }
        self.log = Some(event.log);
        Ok(())
    }

    pub(super) fn autoscaling_switched(&mut self, on: bool) -> Result<(), String> {
        self.is_enabled = on;
        Ok(())
    }

    /// What the cloud said before is forgotten: the user has changed something.
    pub(super) fn rule_allowed(&mut self, event: &RuleAllowed) -> Result<(), String> {
        let rule = Rule {
            max: event.max,
            min: event.min.min(event.max),
            offering: Arc::new(event.offering.clone()),
            price: None,
            priced: self.at,
            blocked: None,
            unavailable: BTreeMap::new(),
            strikes: 0,
            paused_until: None,
        };
        self.was_local_ruled |= event.offering.pooled;
        self.rules.insert(event.offering.rule_key(), rule);
        self.rules_changed();
        Ok(())
    }

    pub(super) fn rule_removed(&mut self, event: &RuleRemoved) -> Result<(), String> {
        self.rules.remove(&event.rule).ok_or_else(|| format!("there is no rule {}", event.rule))?;
        self.rules_changed();
        Ok(())
    }

    /// A rule that the cloud refuses may have been refused for what launches carry: it is tried with what they carry now.
    pub(super) fn settings_changed(&mut self, event: &SettingsChanged) -> Result<(), String> {
        let settings = &event.settings;
        if (&settings.image, &settings.launch) != (&self.settings.image, &self.settings.launch) {
            self.rules.values_mut().for_each(|rule| rule.blocked = None);
        }
        self.settings = settings.clone();
        Ok(())
    }

    pub(super) fn price_seen(&mut self, event: &PriceSeen) -> Result<(), String> {
        // A rule may be removed while its price is asked for.
        let at = self.at;
        if let Some(rule) = self.rules.get_mut(&event.rule) {
            rule.price = Some(event.price);
            rule.priced = at;
            self.reorder_rules();
        }
        Ok(())
    }

    pub(super) fn offering_unavailable(&mut self, event: &OfferingUnavailable) -> Result<(), String> {
        let at = self.at;
        if let Some(rule) = self.rules.get_mut(&event.rule) {
            let unavailable = Unavailable {
                until: event.pause.map(|pause| at.plus(pause)),
                pause: event.pause.unwrap_or(Span::ZERO),
                why: event.why.clone(),
            };
            rule.unavailable.insert(event.zone.clone().unwrap_or_default(), unavailable);
        }
        Ok(())
    }

    pub(super) fn credentials_refused(&mut self, event: &CredentialsRefused) -> Result<(), String> {
        let until = Some(self.at.plus(event.pause));
        let refused = Unavailable { until, pause: event.pause, why: event.why.clone() };
        self.credentials.insert(event.scope.clone(), refused);
        Ok(())
    }

    pub(super) fn rule_blocked(&mut self, event: &RuleBlocked) -> Result<(), String> {
        if let Some(rule) = self.rules.get_mut(&event.rule) {
            rule.blocked = Some(event.why.clone());
        }
        Ok(())
    }
}
