//! A machine of the fake cloud.

use super::super::{MachineState, Notice};
use crate::clock::Boot;
use crate::model::{Address, LaunchOptions, LogId, MachineId, MilliCpu, Purchase, Scope, Token};

/// EC2's reason for the end of a Spot instance that it took back.
pub(super) const TAKEN_BACK: &str = "Server.SpotInstanceTermination";

/// A machine as it is in truth, whatever looks say. It stays known after looks have forgotten it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeMachine {
    /// Its name.
    pub id: MachineId,
    /// The account and region that it is in.
    pub scope: Scope,
    /// Its zone.
    pub zone: String,
    /// Its type.
    pub instance_type: String,
    /// How it was asked for, and so the rule that it counts against.
    pub asked: Purchase,
    /// How it was really bought.
    pub purchase: Purchase,
    /// The token of its launch; absent for machines that other programs started.
    pub token: Option<Token>,
    /// The log that its owner tag names, if it has one.
    pub owner: Option<LogId>,
    /// Its image.
    pub image: String,
    /// What its user had set for it: part of what a token is for.
    pub options: LaunchOptions,
    /// Since when it was in each state, from its launch on.
    pub history: Vec<(Boot, MachineState)>,
    /// The cloud's reason for its state.
    pub reason: Option<String>,
    /// Its address, once it runs and until it ends. A later machine may get it again.
    pub address: Option<Address>,
    /// Whether a host could reach it while it runs.
    pub has_network: bool,
    /// When it was rebooted: what ran on it then is gone.
    pub reboots: Vec<Boot>,
    /// What the machine itself was told last of its end.
    pub notice: Option<Notice>,
    /// From when until when no look knows it, though it lives.
    pub(super) missing: Option<(Boot, Boot)>,
    pub(super) shown_from: Boot,
    pub(super) is_listed: bool,
    pub(super) cpu: MilliCpu,
    pub(super) address_number: Option<u32>,
}

impl FakeMachine {
    /// Whether the cloud took it back.
    pub fn is_taken_back(&self) -> bool {
        self.reason.as_deref() == Some(TAKEN_BACK)
    }

    /// What it is doing.
    pub fn state(&self) -> MachineState {
        self.history.last().map_or(MachineState::Pending, |(_, state)| *state)
    }

    /// What it was doing at that moment; pending before its launch.
    pub fn state_at(&self, moment: Boot) -> MachineState {
        let past = self.history.iter().rev().find(|(since, _)| *since <= moment);
        past.map_or(MachineState::Pending, |(_, state)| *state)
    }

    /// When it was launched.
    pub fn launched(&self) -> Boot {
        self.history.first().map_or_else(Boot::default, |(since, _)| *since)
    }

    /// Whether it takes a slot.
    pub fn is_live(&self) -> bool {
        self.state() != MachineState::Terminated
    }

    /// Whether the cloud's own listings have it at that moment.
    pub(super) fn is_shown(&self, now: Boot) -> bool {
        let is_missing = self.missing.is_some_and(|(from, until)| from <= now && now < until);
        self.is_listed && self.shown_from <= now && !is_missing
    }

    /// When it stopped running, if it has.
    pub fn ran_until(&self) -> Option<Boot> {
        let over = |state: &MachineState| !matches!(state, MachineState::Pending | MachineState::Running);
        self.history.iter().find(|(_, state)| over(state)).map(|(since, _)| *since)
    }
}
