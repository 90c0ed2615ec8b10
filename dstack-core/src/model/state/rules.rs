//! A rule as the fold knows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{At, MicroUsd, Offering, Purchase, Span};

/// What the cloud said about an offering, and until when it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// It is asked again from this moment on; absent means never.
    pub until: Option<At>,
    /// The pause that led there: the next one is twice as long.
    pub pause: Span,
    /// The cloud's words.
    pub why: String,
}

impl Unavailable {
    /// Whether it still holds at this moment.
    pub fn holds(&self, at: At) -> bool {
        self.until.is_none_or(|until| at < until)
    }
}

/// Runners of one rule that may end in a row without finished work before launches pause.
pub const MAX_STRIKES: u32 = 5;

/// An allowed offering and its maximum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The most runners at any one time.
    pub max: u32,
    /// So many are kept alive even where nothing waits; never more than `max`.
    #[serde(default)]
    pub min: u32,
    /// The offering's frozen facts.
    pub offering: Arc<Offering>,
    /// The newest price that was seen after the rule was made.
    pub price: Option<MicroUsd>,
    /// When the price in use was recorded.
    #[serde(default)]
    pub priced: At,
    /// The cloud's words, if it refuses the rule until a user changes something.
    pub blocked: Option<String>,
    /// Zones where there is none at the moment; the empty name stands for all of them.
    pub unavailable: BTreeMap<String, Unavailable>,
    /// Runners in a row that ended without having finished any work.
    pub strikes: u32,
    /// No launch before this moment, after too many strikes.
    pub paused_until: Option<At>,
}

impl Rule {
    /// Whether so many runners have ended without finished work that, after each pause, one alone shows whether it is better.
    pub const fn is_on_trial(&self) -> bool {
        self.strikes >= MAX_STRIKES
    }

    /// The price an hour that decisions use; unknown is not zero.
    pub fn price(&self) -> Option<MicroUsd> {
        self.price.or(self.offering.price)
    }

    /// The place of the rule in the order in which offerings are tried: price (unknown last), spot first, processors, memory,
    /// type, zone.
    pub fn order(&self) -> impl Ord + '_ {
        let offering = &*self.offering;
        let price = self.price().unwrap_or(MicroUsd(u64::MAX));
        let spot_first = matches!(offering.purchase, Purchase::OnDemand);
        (price, spot_first, offering.cpu, offering.memory, &offering.instance_type, &offering.zones, &offering.scope)
    }
}
