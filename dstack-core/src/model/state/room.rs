//! What is free on runners: an index over those that take work.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::machine::Runner;
use crate::model::{Bytes, LaunchRequest, MicroUsd, MilliCpu, Needs, Offering, RunnerId};
use crate::planted::{self, Bug};

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
/// In this order rooms are tried: those whose offering was cheapest when it was allowed, on runners that have work before empty
/// ones, those with the fewest free accelerators, then the fullest. So dear machines drain and end, though cheap ones are empty.
#[derive(Debug, Clone)]
pub struct Room {
    /// Whether nothing runs there.
    pub is_empty: bool,
    /// What is free.
    pub free: Used,
    /// The offering's frozen price; one that is not known comes last.
    price: MicroUsd,
    /// The request of one such runner, for its rule, and the offering. Shared, for rooms change with every attempt. Absent only
    /// where a search begins.
    of: Option<(Arc<LaunchRequest>, Arc<Offering>)>,
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
        let key = |room: &Self| {
            let Used { cpu, memory, disk, gpus } = room.free;
            (room.price, room.is_empty, gpus, cpu, memory, disk)
        };
        key(self).cmp(&key(other)).then_with(|| match (&self.of, &other.of) {
            (Some((one, _)), Some((another, _))) if Arc::ptr_eq(one, another) => Ordering::Equal,
            (Some((one, offering)), Some((another, other))) => one
                .rule
                .cmp(&another.rule)
                .then_with(|| if Arc::ptr_eq(offering, other) { Ordering::Equal } else { offering.cmp(other) }),
            (one, another) => one.is_some().cmp(&another.is_some()),
        })
    }
}

impl Room {
    /// The room of a runner, if there is any for anybody.
    pub(crate) fn of(runner: &Runner) -> Option<Self> {
        (runner.takes_work() && !runner.is_exclusive).then(|| Self {
            is_empty: runner.attempts.is_empty(),
            free: Used::all_of(&runner.offering).minus(runner.used),
            price: runner.offering.price.unwrap_or(MicroUsd(u64::MAX)),
            of: Some((Arc::clone(&runner.request), Arc::clone(&runner.offering))),
        })
    }

    /// Which of two is emptier, whatever it costs.
    pub(crate) fn cmp_emptiness(&self, other: &Self) -> Ordering {
        let size = |room: &Self| {
            let Used { cpu, memory, disk, gpus } = room.free;
            (room.is_empty, gpus, cpu, memory, disk)
        };
        size(self).cmp(&size(other)).then_with(|| self.cmp(other))
    }

    /// Before every room of this price, that is empty or not, with this many free accelerators and this much free processor.
    const fn first(price: MicroUsd, is_empty: bool, gpus: u32, cpu: MilliCpu) -> Self {
        Self { is_empty, free: Used { cpu, memory: Bytes(0), disk: Bytes(0), gpus }, price, of: None }
    }

    /// The same runner's room after a workflow with these needs was put there.
    pub(crate) fn without(self, needs: &Needs) -> Self {
        Self { is_empty: false, free: self.free.minus(Used::by(needs)), ..self }
    }

    /// Whether a workflow with these needs, which an empty machine of the offering would meet, finds room here.
    pub fn takes(&self, needs: &Needs) -> bool {
        self.is_empty
            || (needs.may_share() && planted::is(Bug::Overcommitted))
            || (needs.may_share() && Used::by(needs).fits_in(self.free))
    }
}

/// Runners that take work, by their room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rooms {
    alike: BTreeMap<Room, BTreeSet<RunnerId>>,
    /// Of runners that have work: how many have so many accelerators and so much processor free.
    wide: BTreeMap<(u32, MilliCpu), u32>,
    /// How many runners have no work.
    empty: usize,
}

/// Which rooms a search is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Among {
    /// On runners that have work.
    Busy,
    /// On runners that have none.
    Empty,
    /// On either.
    Any,
}

/// Runners with equal rooms.
pub(crate) type Alike<'a> = (&'a Room, &'a BTreeSet<RunnerId>);

impl Rooms {
    pub(crate) fn insert(&mut self, room: Room, runner: RunnerId) {
        let wide = (!room.is_empty).then_some((room.free.gpus, room.free.cpu));
        if self.alike.entry(room).or_default().insert(runner) {
            match wide {
                Some(wide) => *self.wide.entry(wide).or_default() += 1,
                None => self.empty += 1,
            }
        }
    }

    pub(crate) fn remove(&mut self, room: &Room, runner: RunnerId) {
        let Some(runners) = self.alike.get_mut(room) else { return };
        let was_there = runners.remove(&runner);
        if runners.is_empty() {
            self.alike.remove(room);
        }
        let wide = (room.free.gpus, room.free.cpu);
        if was_there && room.is_empty {
            self.empty -= 1;
        } else if was_there && let Some(count) = self.wide.get_mut(&wide) {
            *count -= 1;
            if *count == 0 {
                self.wide.remove(&wide);
            }
        }
    }

    /// Such rooms, from `from` on, in the order in which they are tried, without those that have fewer free accelerators or less
    /// free processor than `least`: whole stretches of nearly full ones are passed over at once.
    pub(crate) fn scan<'a>(
        &'a self,
        among: Among,
        least: Used,
        from: Option<&Room>,
    ) -> impl Iterator<Item = Alike<'a>> + use<'a> {
        let start = from.cloned().unwrap_or_else(|| Room::first(MicroUsd(0), among == Among::Empty, 0, MilliCpu(0)));
        let mut rest = self.alike.range(start..);
        iter::from_fn(move || {
            loop {
                let (room, runners) = rest.next()?;
                let next = match (among, room.is_empty) {
                    (Among::Busy, true) => {
                        let dearer = MicroUsd(room.price.0.checked_add(1)?);
                        Room::first(dearer, false, least.gpus, least.cpu)
                    }
                    (Among::Empty, false) => Room::first(room.price, true, least.gpus, least.cpu),
                    (Among::Busy, false) | (Among::Empty, true) | (Among::Any, _) => {
                        if room.free.gpus >= least.gpus && room.free.cpu >= least.cpu {
                            return Some((room, runners));
                        }
                        Room::first(room.price, room.is_empty, room.free.gpus.max(least.gpus), least.cpu)
                    }
                };
                rest = self.alike.range(next..);
            }
        })
    }

    /// The emptiest of the rooms for which `pick` names a runner.
    pub(crate) fn emptiest<'a>(&'a self, pick: impl Fn(Alike<'a>) -> Option<RunnerId>) -> Option<(&'a Room, RunnerId)> {
        let mut best: Option<(&Room, RunnerId)> = None;
        let mut rest = self.alike.range(..);
        while let Some((room, runners)) = rest.next_back() {
            let Some(runner) = pick((room, runners)) else { continue };
            if best.is_none_or(|(other, _)| room.cmp_emptiness(other).is_gt()) {
                best = Some((room, runner));
            }
            // The rest of the same price and accelerators has less free.
            rest = self.alike.range(..Room::first(room.price, room.is_empty, room.free.gpus, MilliCpu(0)));
        }
        best
    }

    /// Whether any runner is empty.
    pub(crate) const fn has_empty(&self) -> bool {
        self.empty > 0
    }

    /// The most free processor of runners that have work, for each number of free accelerators.
    pub(crate) fn widest(&self) -> Vec<(u32, MilliCpu)> {
        let mut widest = Vec::new();
        let mut end = (u32::MAX, MilliCpu(u64::MAX));
        while let Some((wide, _)) = self.wide.range(..end).next_back() {
            widest.push(*wide);
            end = (wide.0, MilliCpu(0));
        }
        widest
    }
}
