//! The fake cloud's truth, and what calls and time do to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::bucket::Bucket;
use super::super::{CloudError, MachineState, Notice};
use super::fake_machine::TAKEN_BACK;
use super::faults::{Faults, Script, Scripted, Throttling};
use super::{Draw, FakeMachine, builtin_offerings};
use crate::clock::Boot;
use crate::model::{Address, At, LaunchRequest, MachineId, MilliCpu, Offering, Purchase, Span, Token};

/// Time between a spot notice and the end of its machine.
pub(super) const NOTICE_TIME: Span = Span::from_secs(120);

/// The calls of the port, as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// `scope`.
    Scope,
    /// `catalogue`.
    Catalogue,
    /// `launch`.
    Launch,
    /// `look`.
    Look,
    /// `terminate`.
    Terminate,
}

/// What is due at some moment.
#[derive(Debug, Clone)]
pub(super) enum Due {
    Boots(MachineId),
    FailsBoot(MachineId, String),
    Ends(MachineId),
    Vanishes(MachineId),
    TakenBack(MachineId),
    Announced(MachineId, Option<Boot>),
    OutsiderTerminates(MachineId),
    OutsiderHalts(MachineId),
    OutsiderReboots(MachineId),
    Network(MachineId, bool),
    LateLaunch(Box<LaunchRequest>),
    LateTerminate(Vec<MachineId>),
}

/// A type in a zone, bought in a way: what capacity is of.
pub(super) type Pool = (String, String, Purchase);

#[derive(Debug)]
pub(super) struct Buckets {
    pub(super) launch: Bucket,
    pub(super) look: Bucket,
    pub(super) terminate: Bucket,
    pub(super) terminate_machines: Bucket,
}

impl Buckets {
    pub(super) fn new(limits: Throttling, now: Boot) -> Self {
        let bucket = |(burst, per_sec): (u32, u32)| Bucket::new(burst, per_sec, now);
        Self {
            launch: bucket(limits.launch),
            look: bucket(limits.look),
            terminate: bucket(limits.terminate),
            terminate_machines: bucket(limits.terminate_machines),
        }
    }
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) name: String,
    pub(super) account: String,
    pub(super) offerings: Vec<Offering>,
    pub(super) boot: Span,
    pub(super) shutdown: Span,
    pub(super) remember: Span,
    pub(super) page_size: usize,
    pub(super) faults: Faults,
    pub(super) script: Scripted,
    pub(super) hide_new: Span,
    pub(super) stale: Span,
    pub(super) buckets: Option<Buckets>,
    pub(super) down: BTreeSet<String>,
    pub(super) capacity: BTreeMap<Pool, u32>,
    pub(super) quota: BTreeMap<Purchase, MilliCpu>,
    pub(super) outages: BTreeMap<Pool, Boot>,
    pub(super) draw: Draw,
    pub(super) machines: BTreeMap<MachineId, FakeMachine>,
    pub(super) calls: BTreeMap<Api, u64>,
    pub(super) notices: VecDeque<Notice>,
    pub(super) max_live: BTreeMap<(String, Purchase), usize>,
    /// Grows with every change of a machine's state, its launch included.
    pub(super) changes: u64,
    pub(super) live: BTreeMap<(String, Purchase), usize>,
    pub(super) tokens: BTreeMap<(String, String, Token), MachineId>,
    agenda: BTreeMap<(Boot, u64), Due>,
    due_number: u64,
    free_addresses: BTreeSet<u32>,
    addresses: u32,
    /// Wall time minus boot time, for deadlines in notices.
    pub(super) wall_offset_micros: i64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            name: "fake".into(),
            account: "000000000000".into(),
            offerings: builtin_offerings(),
            boot: Span::from_secs(40),
            shutdown: Span::from_secs(30),
            remember: Span::from_mins(60),
            page_size: 1_000,
            faults: Faults::none(),
            script: Scripted::default(),
            hide_new: Span::ZERO,
            stale: Span::ZERO,
            buckets: None,
            down: BTreeSet::new(),
            capacity: BTreeMap::new(),
            quota: BTreeMap::new(),
            outages: BTreeMap::new(),
            draw: Draw::new(seed),
            machines: BTreeMap::new(),
            calls: BTreeMap::new(),
            notices: VecDeque::new(),
            max_live: BTreeMap::new(),
            changes: 0,
            live: BTreeMap::new(),
            tokens: BTreeMap::new(),
            agenda: BTreeMap::new(),
            due_number: 0,
            free_addresses: BTreeSet::new(),
            addresses: 0,
            wall_offset_micros: 0,
        }
    }

    /// Whether this fault comes about now, to order or by chance.
    pub(super) fn strikes(&mut self, fault: &'static str, order: &Script, per_mille: u16) -> bool {
        if self.script.take_equal(order) {
            self.draw.hit(fault);
            return true;
        }
        self.draw.befalls(fault, per_mille)
    }

    pub(super) fn plan(&mut self, at: Boot, due: Due) {
        self.due_number += 1;
        self.agenda.insert((at, self.due_number), due);
    }

    pub(super) fn next_due(&self) -> Option<Boot> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    /// Lets everything happen that is due until now, in the order of time.
    pub(super) fn settle(&mut self, now: Boot) {
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), due) = entry.remove_entry();
            self.happen(at, due);
        }
    }

    fn happen(&mut self, at: Boot, due: Due) {
        match due {
            Due::Boots(id) => {
                if self.state(&id) == Some(MachineState::Pending) {
                    self.enter(&id, MachineState::Running, at);
                }
            }
            Due::FailsBoot(id, reason) => {
                if self.state(&id) == Some(MachineState::Pending) {
                    self.give_reason(&id, &reason);
                    self.enter(&id, MachineState::Terminated, at);
                }
            }
            Due::Ends(id) => {
                if self.state(&id) == Some(MachineState::ShuttingDown) {
                    self.enter(&id, MachineState::Terminated, at);
                }
            }
            Due::Vanishes(id) => {
                if let Some(machine) = self.machines.get_mut(&id) {
                    machine.is_listed = false;
                }
            }
            Due::TakenBack(id) => {
                let is_spot = self.machines.get(&id).is_some_and(|machine| machine.purchase == Purchase::Spot);
                if is_spot {
                    self.shut_down(&id, TAKEN_BACK, at);
                }
            }
            Due::Announced(id, deadline) => {
                let deadline = deadline.map(|moment| self.wall_time(moment));
                if let Some(machine) = self.machines.get_mut(&id).filter(|machine| machine.is_live()) {
                    let notice = Notice { machine: id, deadline };
                    machine.notice = Some(notice.clone());
                    if !self.draw.befalls("told_inside", self.faults.told_inside) {
                        self.notices.push_back(notice);
                    }
                }
            }
            Due::OutsiderTerminates(id) => self.shut_down(&id, "Client.UserInitiatedShutdown", at),
            Due::OutsiderHalts(id) => {
                if self.state(&id) == Some(MachineState::Running) {
                    self.enter(&id, MachineState::Halted, at);
                }
            }
            Due::OutsiderReboots(id) => {
                if self.state(&id) == Some(MachineState::Running)
                    && let Some(machine) = self.machines.get_mut(&id)
                {
                    machine.reboots.push(at);
                    self.draw.hit("outsider_reboots");
                }
            }
            Due::Network(id, is_up) => {
                if let Some(machine) = self.machines.get_mut(&id).filter(|machine| machine.has_network != is_up) {
                    machine.has_network = is_up;
                }
            }
            Due::LateLaunch(request) => {
                // Nobody hears the answer.
                let _unheard = self.launch(&request, at);
            }
            Due::LateTerminate(ids) => {
                for id in ids {
                    let _unheard = self.terminate(&id, at);
                }
            }
        }
    }

    fn wall_time(&self, moment: Boot) -> At {
        let micros = i64::try_from(moment.0.as_micros()).unwrap_or(i64::MAX);
        At::from_micros(micros.saturating_add(self.wall_offset_micros))
    }

    pub(super) fn state(&self, id: &MachineId) -> Option<MachineState> {
        self.machines.get(id).map(FakeMachine::state)
    }

    fn give_reason(&mut self, id: &MachineId, reason: &str) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.reason = Some(reason.to_owned());
        }
    }

    /// The one place where a machine's state changes. A terminated one never changes again.
    fn enter(&mut self, id: &MachineId, state: MachineState, at: Boot) {
        let Some(machine) = self.machines.get_mut(id).filter(|machine| machine.is_live()) else { return };
        machine.history.push((at, state));
        self.changes += 1;
        match state {
            MachineState::Running => {
                let number = if let Some(number) = self.free_addresses.pop_first() {
                    self.draw.hit("address_reused");
                    number
                } else {
                    self.addresses += 1;
                    self.addresses
                };
                machine.address_number = Some(number);
                machine.address =
                    Some(Address(format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255)));
            }
            MachineState::Terminated => {
                machine.address = None;
                self.free_addresses.extend(machine.address_number.take());
                if machine.token.is_some()
                    && let Some(live) = self.live.get_mut(&(machine.instance_type.clone(), machine.asked))
                {
                    *live -= 1;
                }
                let is_forgotten = self.draw.befalls("forgotten_early", self.faults.forgotten_early);
                let remember = if is_forgotten { Span::ZERO } else { self.remember };
                self.plan(at.plus(remember.to_std()), Due::Vanishes(id.clone()));
            }
            MachineState::Pending | MachineState::Halted | MachineState::ShuttingDown => {}
        }
    }

    /// Begins the end of a machine, unless it has begun before.
    pub(super) fn shut_down(&mut self, id: &MachineId, reason: &str, at: Boot) {
        let begun = [Some(MachineState::ShuttingDown), Some(MachineState::Terminated), None];
        if begun.contains(&self.state(id)) {
            return;
        }
        let scripted = self.script.take(|script| match script {
            Script::StickTerminate(span) => Some(*span),
            _ => None,
        });
        if scripted.is_some() {
            self.draw.hit("terminate_stuck");
        }
        let is_stuck = scripted.is_none() && self.draw.befalls("terminate_stuck", self.faults.terminate_stuck);
        let stuck = scripted.or_else(|| is_stuck.then(|| self.draw.span(self.faults.stuck_most)));
        let length = stuck.unwrap_or(self.shutdown).max(self.shutdown);
        self.give_reason(id, reason);
        self.enter(id, MachineState::ShuttingDown, at);
        self.plan(at.plus(length.to_std()), Due::Ends(id.clone()));
        self.settle(at);
    }

    pub(super) fn terminate(&mut self, id: &MachineId, at: Boot) -> Result<(), CloudError> {
        let found = self.machines.get(id);
        if !found.is_some_and(|machine| machine.is_shown(at)) {
            if found.is_some_and(FakeMachine::is_live) {
                self.draw.hit("not_found_alive");
            }
            return Err(CloudError::NotFound);
        }
        if self.strikes("terminate_refused", &Script::RefuseTerminate, self.faults.terminate_refused) {
            return Err(CloudError::Denied(format!("OperationNotPermitted: {id} is protected against termination")));
        }
        self.shut_down(id, "Client.UserInitiatedShutdown", at);
        Ok(())
    }
}
