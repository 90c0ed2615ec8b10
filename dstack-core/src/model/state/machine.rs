//! A runner as the fold knows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::room::Used;
use crate::model::{
    Address, At, AttemptId, Certificate, ClaimEnd, ClaimNumber, ControllerId, Identity, LaunchRequest, MachineId,
    MicroUsd, Offering, Place, RunnerId, Seq, Span, StopReason, Token,
};

/// A runner that has been ready for so long does not die of what made others of its rule die.
const TRIAL: Span = Span::from_mins(10);

/// Where a runner is in its life. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RunnerPhase {
    /// It takes a slot; no machine is known yet.
    Wanted,
    /// The cloud has a machine for it.
    Launched,
    /// It takes work.
    Ready,
    /// It is shut down; its slot is still taken.
    Stopping,
    /// Its machine cannot be alive: the slot is free.
    Stopped(Certificate),
}

impl RunnerPhase {
    /// The word for it that programs may rely on.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Launched => "launched",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped(_) => "stopped",
        }
    }
}

/// The right of one controller process to send one launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its number on the runner, from 1.
    pub number: ClaimNumber,
    /// Who may send.
    pub controller: ControllerId,
    /// How it ended, once it is closed.
    pub end: Option<ClaimEnd>,
}

/// A runner as the fold knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    /// What is sent, whoever sends it and however often.
    pub request: Arc<LaunchRequest>,
    /// The request's idempotency token.
    pub token: Token,
    /// The offering's facts as they were when it was wanted.
    pub offering: Arc<Offering>,
    /// The price an hour when it was wanted.
    pub price: Option<MicroUsd>,
    /// When it was wanted.
    pub wanted: At,
    /// The record that says so: runners that start are promised to workflows in this order.
    pub wanted_seq: Seq,
    /// Where it is in its life.
    pub phase: RunnerPhase,
    /// Since when.
    pub since: At,
    /// The newest claim. Earlier ones are closed: there is at most one open claim.
    pub claim: Option<Claim>,
    /// When the newest claim was closed.
    pub claim_closed: Option<At>,
    /// Its machine, once one is known. A machine is never forgotten.
    pub machine: Option<MachineId>,
    /// How it is reached.
    pub address: Option<Address>,
    /// Who answers there, pinned at the first contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// When the cloud was first known to have it.
    pub launched: Option<At>,
    /// Why it is shut down or over.
    pub stop: Option<StopReason>,
    /// The cloud takes it back: it gets no more work.
    pub noticed: bool,
    /// Attempts on it that are not over.
    pub attempts: BTreeSet<AttemptId>,
    /// What they take of it.
    pub used: Used,
    /// Whether one of them has the runner for itself.
    pub is_exclusive: bool,
    /// Since when it has been ready and without attempts.
    pub idle_since: Option<At>,
    /// How many commands ended on it.
    pub finished: u32,
}

impl Runner {
    /// Whether its machine may be alive: it takes a slot.
    pub const fn may_live(&self) -> bool {
        !matches!(self.phase, RunnerPhase::Stopped(_))
    }

    /// Whether it is on its way to take work.
    pub const fn is_starting(&self) -> bool {
        matches!(self.phase, RunnerPhase::Wanted | RunnerPhase::Launched) && !self.noticed
    }

    /// Whether it takes work now.
    pub const fn takes_work(&self) -> bool {
        matches!(self.phase, RunnerPhase::Ready) && !self.noticed
    }

    /// Whether it has yet to show that runners of its rule live: it has finished no work, and has not been ready for long.
    pub fn is_on_trial(&self, at: At) -> bool {
        match self.phase {
            RunnerPhase::Wanted | RunnerPhase::Launched => true,
            RunnerPhase::Ready => self.trial_end().is_some_and(|end| at < end),
            RunnerPhase::Stopping | RunnerPhase::Stopped(_) => false,
        }
    }

    /// Whether it has shown that runners of its rule live.
    pub fn has_proven(&self, at: At) -> bool {
        self.phase == RunnerPhase::Ready && !self.is_on_trial(at)
    }

    /// When it has been ready for long enough, if it has finished no work until then.
    pub fn trial_end(&self) -> Option<At> {
        (self.phase == RunnerPhase::Ready && self.finished == 0).then(|| self.since.plus(TRIAL))
    }

    /// The claim that is open, if one is.
    pub fn open_claim(&self) -> Option<&Claim> {
        self.claim.as_ref().filter(|claim| claim.end.is_none())
    }

    /// Where its work takes place, once it is known.
    pub fn place(&self, id: RunnerId) -> Option<Place> {
        Some(Place {
            runner: id,
            machine: self.machine.clone()?,
            address: self.address.clone()?,
            identity: self.identity.clone(),
        })
    }

    /// What it has cost until this moment, as far as its price is known.
    pub fn cost(&self, now: At) -> Option<MicroUsd> {
        let end = if self.may_live() { now } else { self.since };
        Some(self.price?.per_hour_for(self.launched.map_or(crate::model::Span::ZERO, |start| end.since(start))))
    }
}
