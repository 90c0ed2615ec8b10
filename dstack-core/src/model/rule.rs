//! What a user allows: an offering of a provider, and how many runners of it at most.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Bytes, MicroUsd, MilliCpu, Span};

/// How a machine is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purchase {
    /// Spare capacity at a changing price, taken back by the cloud when it likes.
    Spot,
    /// At the list price, ours until we end it.
    OnDemand,
}

impl fmt::Display for Purchase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        })
    }
}

/// Which offering a rule is about. There is at most one rule for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleKey {
    /// Name of the provider, as it was registered.
    pub provider: String,
    /// The provider's region.
    pub region: String,
    /// The provider's name of the machine type.
    #[serde(rename = "type")]
    pub instance_type: String,
    /// Spot or on-demand.
    pub purchase: Purchase,
}

impl fmt::Display for RuleKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} in {}", self.instance_type, self.purchase, self.region)
    }
}

/// Where a look can be evidence: one region of one account of one provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// Name of the provider, as it was registered.
    pub provider: String,
    /// The account that is billed.
    pub account: String,
    /// The provider's region.
    pub region: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.provider, self.account, self.region)
    }
}

/// Equal accelerators of a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gpus {
    /// Model, as the provider spells it.
    pub name: String,
    /// Whole devices.
    pub count: u32,
    /// Memory of one device.
    pub memory: Bytes,
}

/// How long a provider's answers may be late; claims and proofs of absence are measured with it.
///
/// The protocol it parametrises is described in the controller's module. A cloud uses [`LaunchTiming::CLOUD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaunchTiming {
    /// A claim's holder sends only while less than this has passed since it began to claim.
    pub claim_ttl: Span,
    /// An observer closes a claim that it has watched open for `claim_ttl` and this.
    pub claim_margin: Span,
    /// A look proves absence only if it began this long after the machine was last claimed or seen.
    pub settle: Span,
    /// Two looks that prove absence together are at least this far apart.
    pub looks_apart: Span,
}

impl LaunchTiming {
    /// For a cloud whose listings are eventually consistent: ttl 30 s; margin = 10 s operation timeout + 60 s + 1 %;
    /// 10 minutes until absence counts; looks 60 s apart.
    pub const CLOUD: Self = Self {
        claim_ttl: Span::from_secs(30),
        claim_margin: Span::from_micros(70_300_000),
        settle: Span::from_mins(10),
        looks_apart: Span::from_secs(60),
    };
}

/// One type of machine that a provider sells, with everything a decision needs to know of it.
///
/// A rule freezes the offering that it allows, so that decisions can be repeated without the provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offering {
    /// Where it is sold.
    pub scope: Scope,
    /// The provider's name of the type.
    #[serde(rename = "type")]
    pub instance_type: String,
    /// Spot or on-demand.
    pub purchase: Purchase,
    /// Processors of the machine.
    pub cpu: MilliCpu,
    /// Memory of the machine.
    pub memory: Bytes,
    /// Disk that workflows can use.
    pub disk: Bytes,
    /// Accelerators, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
    /// Processor architecture, as the provider names it.
    pub arch: String,
    /// Zones that have it, in the order in which equal ones are tried.
    pub zones: Vec<String>,
    /// Price an hour: the list price, or for spot the newest known one. Unknown is not zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<MicroUsd>,
    /// The machine image that a launch uses, resolved.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// What only the provider itself reads: copied into each launch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// Which of the account's quotas it counts against; those of one scope, purchase and quota are refused together. Absent:
    /// a quota that is reached says nothing about other offerings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// All runners of this offering share one machine: its resources are there once, not once for each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pooled: bool,
    /// Bounds of the provider's answers.
    pub timing: LaunchTiming,
}

impl Offering {
    /// The key of the rule that would allow it.
    pub fn rule_key(&self) -> RuleKey {
        RuleKey {
            provider: self.scope.provider.clone(),
            region: self.scope.region.clone(),
            instance_type: self.instance_type.clone(),
            purchase: self.purchase,
        }
    }

    /// Whether a quota that refuses `self` refuses `other` as well: the same quota, and no less is asked of it.
    pub fn shares_quota_with(&self, other: &Self) -> bool {
        self.quota.is_some()
            && self.quota == other.quota
            && self.scope == other.scope
            && self.purchase == other.purchase
            && other.cpu >= self.cpu
    }
}
