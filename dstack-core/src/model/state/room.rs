//! What is free on runners: an index over those that take work.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::machine::Runner;
use crate::model::{Bytes, LaunchRequest, MilliCpu, Needs, Offering, RuleKey, RunnerId};

/// What attempts take of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Used {
    /// Processor.
    pub cpu: MilliCpu,
    /// Memory.
    pub memory: Bytes,
    /// Disk.
    pub disk: Bytes,
    /// Whole accelerators.
    pub gpus: u32,
}

impl Used {
    /// What a workflow with these needs takes.
    pub fn by(needs: &Needs) -> Self {
        Self {
            cpu: needs.cpu.unwrap_or_default(),
            memory: needs.memory.unwrap_or_default(),
            disk: needs.disk.unwrap_or_default(),
            gpus: needs.gpu.as_ref().map_or(0, |gpu| gpu.count),
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cpu: MilliCpu(self.cpu.0.saturating_add(other.cpu.0)),
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
            disk: Bytes(self.disk.0.saturating_add(other.disk.0)),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    /// Without the other's part.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            cpu: MilliCpu(self.cpu.0.saturating_sub(other.cpu.0)),
            memory: Bytes(self.memory.0.saturating_sub(other.memory.0)),
            disk: Bytes(self.disk.0.saturating_sub(other.disk.0)),
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }

    /// All that a machine of this offering has.
    pub fn all_of(offering: &Offering) -> Self {
        Self {
            cpu: offering.cpu,
            memory: offering.memory,
            disk: offering.disk,
            gpus: offering.gpus.as_ref().map_or(0, |gpus| gpus.count),
        }
    }

    /// Whether this is no more than `free`.
    pub fn fits_in(self, free: Self) -> bool {
        self.cpu <= free.cpu && self.memory <= free.memory && self.disk <= free.disk && self.gpus <= free.gpus
    }
}

/// A kind of free room: runners with equal rooms are alike to the scheduler.
///
/// In this order rooms are tried: on runners that have work before empty ones, the fullest first.
#[derive(Debug, Clone)]
pub struct Room {
    /// Whether nothing runs there.
    pub is_empty: bool,
    /// What is free.
    pub free: Used,
    /// The request of one such runner: its rule is what counts. It is shared, for rooms change with every attempt.
    /// Absent only where a search begins.
    request: Option<Arc<LaunchRequest>>,
}

impl PartialEq for Room {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Room {}

impl PartialOrd for Room {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Room {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_size = (self.is_empty, self.free).cmp(&(other.is_empty, other.free));
        by_size.then_with(|| self.rule().cmp(&other.rule()))
    }
}

impl Room {
    /// The room of a runner, if there is any for anybody.
    pub(crate) fn of(runner: &Runner) -> Option<Self> {
        (runner.takes_work() && !runner.is_exclusive).then(|| Self {
            is_empty: runner.attempts.is_empty(),
            free: Used::all_of(&runner.offering).minus(runner.used),
            request: Some(Arc::clone(&runner.request)),
        })
    }

    fn rule(&self) -> Option<&RuleKey> {
        self.request.as_ref().map(|request| &request.rule)
    }

    /// Before every room that has this much processor free, and is empty or not.
    const fn first(is_empty: bool, cpu: MilliCpu) -> Self {
        Self { is_empty, free: Used { cpu, memory: Bytes(0), disk: Bytes(0), gpus: 0 }, request: None }
    }

    /// The same runner's room after a workflow with these needs was put there.
    pub(crate) fn without(self, needs: &Needs) -> Self {
        Self { is_empty: false, free: self.free.minus(Used::by(needs)), request: self.request }
    }

    /// Whether a workflow with these needs, which an empty machine of the offering would meet, finds room here.
    pub fn takes(&self, needs: &Needs) -> bool {
        self.is_empty || (needs.may_share() && Used::by(needs).fits_in(self.free))
    }
}

/// Runners that take work, by their room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rooms(BTreeMap<Room, BTreeSet<RunnerId>>);

impl Rooms {
    pub(crate) fn insert(&mut self, room: Room, runner: RunnerId) {
        self.0.entry(room).or_default().insert(runner);
    }

    pub(crate) fn remove(&mut self, room: &Room, runner: RunnerId) {
        if let Some(runners) = self.0.get_mut(room) {
            runners.remove(&runner);
            if runners.is_empty() {
                self.0.remove(room);
            }
        }
    }

    /// The kinds of room that have the processor that these needs ask for, in the order in which they are tried: rooms that
    /// are nearly full are passed over at once.
    pub(crate) fn with_cpu_for(&self, needs: &Needs) -> impl Iterator<Item = (&Room, &BTreeSet<RunnerId>)> {
        let cpu = needs.cpu.unwrap_or_default();
        let empty = self.0.range(Room::first(true, cpu)..);
        let shared = needs.may_share().then(|| self.0.range(Room::first(false, cpu)..Room::first(true, MilliCpu(0))));
        shared.into_iter().flatten().chain(empty)
    }
}
