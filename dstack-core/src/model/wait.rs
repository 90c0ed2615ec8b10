//! Why workflows wait.

use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use super::{At, Needs, RuleKey, RunnerId, Scope};

/// Rules that a reason names; shared, for many shapes wait for the same ones.
pub type RuleList = Arc<[Arc<RuleKey>]>;

/// Why workflows of one shape wait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitReason {
    /// Autoscaling is off.
    Disabled,
    /// No rule could ever start it.
    NoFittingRule,
    /// Every fitting rule has a maximum of 0.
    MaximumZero(RuleList),
    /// Every fitting rule that could start any has as many runners as it may have.
    AtMaximum(RuleList),
    /// It was overtaken too often: this runner takes nothing that comes after it, until it has room for it.
    Kept(RunnerId),
    /// The runner that has room for it is kept for a workflow before it.
    KeptForEarlier(RunnerId),
    /// The cloud has none at the moment.
    Unavailable {
        /// Which offering.
        rule: RuleKey,
        /// When it is asked again; absent means never.
        until: Option<At>,
        /// The cloud's words.
        why: String,
    },
    /// The cloud refuses the rule until the user changes something.
    Blocked {
        /// Which.
        rule: RuleKey,
        /// The cloud's words.
        why: String,
    },
    /// Launches of the rule pause: too many runners of it ended without having finished any work.
    Paused {
        /// Which.
        rule: RuleKey,
        /// Until when.
        until: At,
    },
    /// Too many runners of the rule ended without work done: one alone is tried before others are started.
    OnTrial {
        /// Which.
        rule: RuleKey,
        /// When the one has lived for long enough, if it is ready.
        until: Option<At>,
    },
    /// The provider does not accept the credentials. Nothing is wrong with the rule; it is asked again by itself.
    Credentials {
        /// Where.
        scope: Scope,
        /// When it is asked again.
        until: Option<At>,
        /// The cloud's words.
        why: String,
    },
    /// This machine's resources are in use.
    PoolFull(RuleKey),
    /// The limiter lets no more launches through now.
    Throttled,
}

impl fmt::Display for WaitReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => formatter.write_str("autoscaling is disabled: `dstack autoscale enable` lets it start"),
            Self::NoFittingRule => formatter.write_str("no allowed rule fits"),
            Self::MaximumZero(rules) => {
                write!(formatter, "the maximum is 0: raise it to let one start ({})", names(rules))
            }
            Self::AtMaximum(rules) => write!(formatter, "all allowed runners are busy ({})", names(rules)),
            Self::Kept(runner) => write!(formatter, "runner {runner} is kept free for it, and not yet free enough"),
            Self::KeptForEarlier(runner) => {
                write!(formatter, "runner {runner} is kept free for a workflow that has waited longer")
            }
            Self::OnTrial { rule, until: _ } => write!(
                formatter,
                "runners of {} kept ending without work done: one is tried before more are started",
                rule.instance_type
            ),
            Self::Credentials { scope, until, why } => {
                write!(formatter, "the credentials of {} are not accepted", scope.provider)?;
                if let Some(until) = until {
                    write!(formatter, ", the next try is at {until}")?;
                }
                write!(formatter, ": {why}")
            }
            Self::Unavailable { rule, until: Some(until), why } => {
                write!(formatter, "{} is not available until {until}: {why}", rule.instance_type)
            }
            Self::Unavailable { rule, until: None, why } => {
                write!(formatter, "{} is not available: {why}", rule.instance_type)
            }
            Self::Blocked { rule, why } => {
                write!(formatter, "{} is blocked: {why}; allow it again once that is mended", rule.instance_type)
            }
            Self::Paused { rule, until } => {
                write!(
                    formatter,
                    "runners of {} keep ending without work done; the next try is at {until}",
                    rule.instance_type
                )
            }
            Self::PoolFull(_) => formatter.write_str("this machine's resources are in use"),
            Self::Throttled => formatter.write_str("launches are being paced"),
        }
    }
}

fn names(rules: &[Arc<RuleKey>]) -> String {
    let names: Vec<_> = rules.iter().map(|rule| format!("{} {}", rule.instance_type, rule.purchase)).collect();
    names.join(", ")
}

/// Shapes of which a workflow waits that nothing is started for, each with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting(Vec<(Arc<Needs>, WaitReason)>);

impl Waiting {
    /// Of reasons in any order, one for each of different needs.
    pub(crate) fn new(mut reasons: Vec<(Arc<Needs>, WaitReason)>) -> Self {
        reasons.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self(reasons)
    }

    /// Why workflows of these needs wait, if any does.
    pub fn get(&self, needs: &Needs) -> Option<&WaitReason> {
        let place = self.0.binary_search_by(|(known, _)| (**known).cmp(needs)).ok()?;
        self.0.get(place).map(|(_, reason)| reason)
    }

    /// The shapes and their reasons, in the order of the needs.
    pub fn iter(&self) -> impl Iterator<Item = (&Needs, &WaitReason)> {
        self.0.iter().map(|(needs, reason)| (&**needs, reason))
    }

    /// How many shapes wait for nothing that is on its way.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether something is on its way to everything that waits.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Index<&Needs> for Waiting {
    type Output = WaitReason;

    /// # Panics
    /// When no workflow of these needs waits.
    fn index(&self, needs: &Needs) -> &WaitReason {
        self.get(needs).expect("a workflow of these needs waits")
    }
}
