//! Prices that moved.

use crate::model::event::PriceSeen;
use crate::model::{At, Event, MicroUsd, Offering, Span, State};

/// No price of an offering is recorded sooner after the one before.
const PRICE_PERIOD: Span = Span::from_mins(60);
/// Nor one that moved by less than this, in hundredths of the one before.
const PRICE_STEP_PERCENT: u64 = 5;

/// Of allowed offerings only, at most hourly, and if it moved enough to matter.
pub(super) fn priced(state: &State, at: At, offerings: &[Offering]) -> Vec<Event> {
    let seen = |offering: &Offering| {
        let key = offering.rule_key();
        let rule = state.rules().get(&key).filter(|rule| rule.offering.scope == offering.scope)?;
        let price = offering.price?;
        let is_due = at >= rule.priced.plus(PRICE_PERIOD);
        (is_due && rule.price().is_none_or(|before| has_moved(before, price)))
            .then(|| PriceSeen { rule: key, price }.into())
    };
    offerings.iter().filter_map(seen).collect()
}

fn has_moved(before: MicroUsd, now: MicroUsd) -> bool {
    let moved = u128::from(before.0.abs_diff(now.0)) * 100;
    moved > 0 && moved >= u128::from(before.0) * u128::from(PRICE_STEP_PERCENT)
}
