//! One machine from the wish for it to the proof of its end.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::base32;
use super::rule::{LaunchTiming, Offering, RuleKey, Scope};
use super::{LaunchId, LaunchOptions, LogId, RunnerId};

/// The cloud's name of a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MachineId(pub String);

impl fmt::Display for MachineId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// The cloud's idempotency token of a launch: the same token never makes a second machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl Token {
    /// 52 characters of base32 over SHA-256 of the log's and the launch's id, so below EC2's limit of 64.
    pub fn new(log: LogId, launch: LaunchId) -> Self {
        let digest = Sha256::new().chain_update(log.as_bytes()).chain_update(launch.to_bits().to_be_bytes()).finalize();
        let text = digest.chunks(8).flat_map(|chunk| {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            base32(u64::from_be_bytes(bytes))
        });
        Self(text.map(char::from).collect())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Everything a launch sends, resolved and frozen in the log before the first send.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaunchRequest {
    /// The log whose machine it is: the owner tag.
    pub log: LogId,
    /// What the token is made of.
    pub launch: LaunchId,
    /// The rule it counts against; type and purchase stand there.
    pub rule: RuleKey,
    /// Where it is launched, and where looks are evidence about it.
    pub scope: Scope,
    /// The zone; idempotency is zonal, so it is part of the launch.
    pub zone: String,
    /// The resolved machine image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// What the user had set for runners in a cloud.
    #[serde(default, skip_serializing_if = "LaunchOptions::is_default")]
    pub options: LaunchOptions,
    /// The offering's own facts for the provider.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// Bounds of the provider's answers.
    pub timing: LaunchTiming,
}

impl LaunchRequest {
    /// The launch of this offering in one of its zones, with nothing set by the user.
    pub fn new(log: LogId, launch: LaunchId, offering: &Offering, zone: String) -> Self {
        Self {
            log,
            launch,
            rule: offering.rule_key(),
            scope: offering.scope.clone(),
            zone,
            image: offering.image.clone(),
            options: LaunchOptions::default(),
            details: offering.details.clone(),
            timing: offering.timing,
        }
    }

    /// The idempotency token of this launch.
    pub fn token(&self) -> Token {
        Token::new(self.log, self.launch)
    }
}

/// Why a runner is shut down or over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The rule's maximum was lowered.
    MaxLowered,
    /// The rule was removed.
    RuleRemoved,
    /// Autoscaling was disabled.
    Disabled,
    /// A user ended it by hand.
    ByHand,
    /// No waiting workflow could use it for the idle timeout, or before it was sent for again.
    Idle,
    /// It was not launched in time.
    LaunchTimeout,
    /// It was launched, but not ready in time.
    BootTimeout,
    /// The cloud said that it would not start it.
    LaunchFailed(String),
    /// The cloud takes it back.
    Interrupted,
    /// It ended or vanished without us.
    Lost(String),
    /// It is not the machine that it should be.
    Quarantined(String),
}

impl StopReason {
    /// Whether a user's wish, not a fault, ends the runner.
    pub const fn is_wish(&self) -> bool {
        match self {
            Self::MaxLowered | Self::RuleRemoved | Self::Disabled | Self::ByHand | Self::Idle => true,
            Self::LaunchTimeout
            | Self::BootTimeout
            | Self::LaunchFailed(_)
            | Self::Interrupted
            | Self::Lost(_)
            | Self::Quarantined(_) => false,
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxLowered => formatter.write_str("the rule's maximum was lowered"),
            Self::RuleRemoved => formatter.write_str("the rule was removed"),
            Self::Disabled => formatter.write_str("autoscaling was disabled"),
            Self::ByHand => formatter.write_str("stopped by hand"),
            Self::Idle => formatter.write_str("idle"),
            Self::LaunchTimeout => formatter.write_str("not launched in time"),
            Self::BootTimeout => formatter.write_str("not ready in time"),
            Self::LaunchFailed(words) => write!(formatter, "could not be launched: {words}"),
            Self::Interrupted => formatter.write_str("taken back by the cloud"),
            Self::Lost(words) => write!(formatter, "lost: {words}"),
            Self::Quarantined(words) => write!(formatter, "quarantined: {words}"),
        }
    }
}

/// The proof that a runner's machine cannot be alive, which alone gives its slot back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certificate {
    /// A look saw the machine terminated.
    Terminated,
    /// The cloud answered that the token's machine lived and died.
    Ended,
    /// Launched or seen long ago, then absent from two complete looks and from a look-up by id.
    Gone,
    /// The launch failed definitely; no send ended unknown, and every earlier claim is closed.
    NeverLaunched,
    /// All claims closed, and a complete look begun long after shows no machine of this token.
    NotFound,
}

impl fmt::Display for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Terminated => "seen terminated",
            Self::Ended => "the cloud says that it ended",
            Self::Gone => "proven gone",
            Self::NeverLaunched => "never launched",
            Self::NotFound => "no machine was found",
        })
    }
}

/// How a runner's claim came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimEnd {
    /// Its holder had an answer, and none of its sends is in doubt.
    Answered,
    /// Its holder never sent, or the cloud answered that it had done nothing.
    Unsent,
    /// Another controller watched it for its ttl and margin.
    Waited,
}

/// What a runner's runner-side contact is reached by; what it means is its host's business.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(pub String);

/// What a runner proved to be at the first contact: its SSH host key, say. What it means is its host's business.
///
/// It is pinned in the log. Whoever answers with another identity from then on is not this runner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(pub String);

/// A claim's number on its runner, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimNumber(pub u32);

/// Where a runner's work takes place: handed to the host with each call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The runner.
    pub runner: RunnerId,
    /// Its machine.
    pub machine: MachineId,
    /// How it is reached.
    pub address: Address,
    /// Who answers there, once that is pinned.
    pub identity: Option<Identity>,
}
