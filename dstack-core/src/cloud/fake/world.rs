//! The fake cloud's truth, and what calls and time do to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::super::bucket::Bucket;
use super::super::{CloudError, LaunchError, Machine, MachineState, Notice};
use super::faults::{Faults, Script, Scripted, Throttling};
use super::{Draw, FakeMachine, builtin_offerings};
use crate::clock::Boot;
use crate::model::{
    Address, At, LaunchOptions, LaunchRequest, MachineId, MilliCpu, Offering, Purchase, Scope, Span, Token,
};

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
    live: BTreeMap<(String, Purchase), usize>,
    tokens: BTreeMap<(String, String, Token), MachineId>,
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
            live: BTreeMap::new(),
            tokens: BTreeMap::new(),
            agenda: BTreeMap::new(),
            due_number: 0,
            free_addresses: BTreeSet::new(),
            addresses: 0,
            wall_offset_micros: 0,
        }
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
                    self.shut_down(&id, "Server.SpotInstanceTermination", at);
                }
            }
            Due::Announced(id, deadline) => {
                if self.machines.get(&id).is_some_and(FakeMachine::is_live) {
                    let deadline = deadline.map(|moment| self.wall_time(moment));
                    self.notices.push_back(Notice { machine: id, deadline });
                }
            }
            Due::OutsiderTerminates(id) => self.shut_down(&id, "Client.UserInitiatedShutdown", at),
            Due::OutsiderHalts(id) => {
                if self.state(&id) == Some(MachineState::Running) {
                    self.enter(&id, MachineState::Halted, at);
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
        match state {
            MachineState::Running => {
                let number = self.free_addresses.pop_first().unwrap_or_else(|| {
                    self.addresses += 1;
                    self.addresses
                });
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
                let is_forgotten = self.draw.chance(self.faults.forgotten_early);
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
        let stuck = scripted
            .or_else(|| self.draw.chance(self.faults.terminate_stuck).then(|| self.draw.span(self.faults.stuck_most)));
        let length = stuck.unwrap_or(self.shutdown).max(self.shutdown);
        self.give_reason(id, reason);
        self.enter(id, MachineState::ShuttingDown, at);
        self.plan(at.plus(length.to_std()), Due::Ends(id.clone()));
        self.settle(at);
    }

    pub(super) fn terminate(&mut self, id: &MachineId, at: Boot) -> Result<(), CloudError> {
        let known = self.machines.get(id).is_some_and(|machine| machine.is_listed && machine.shown_from <= at);
        if !known {
            return Err(CloudError::NotFound);
        }
        if self.script.take_equal(&Script::RefuseTerminate) || self.draw.chance(self.faults.terminate_refused) {
            return Err(CloudError::Denied(format!("OperationNotPermitted: {id} is protected against termination")));
        }
        self.shut_down(id, "Client.UserInitiatedShutdown", at);
        Ok(())
    }

    /// A launch's effect, without the faults of the way there and back.
    pub(super) fn launch(&mut self, request: &LaunchRequest, at: Boot) -> Result<Machine, LaunchError> {
        let key = (request.scope.region.clone(), request.zone.clone(), request.token());
        if let Some(machine) = self.tokens.get(&key).and_then(|id| self.machines.get(id)) {
            return Self::launched_before(machine, request);
        }
        let offering = self.sold(request)?;
        let pool = (request.rule.instance_type.clone(), request.zone.clone(), request.rule.purchase);
        self.afford(&pool, offering.cpu, at)?;
        if let Some(left) = self.capacity.get_mut(&pool) {
            *left -= 1;
        }
        let on_demand = request.rule.purchase == Purchase::Spot
            && (self.script.take_equal(&Script::GiveOnDemand) || self.draw.chance(self.faults.on_demand_for_spot));
        let mut machine = self.new_machine(&request.scope, &request.zone, &offering, at);
        machine.purchase = if on_demand { Purchase::OnDemand } else { request.rule.purchase };
        machine.token = Some(request.token());
        machine.owner = Some(request.log);
        machine.image.clone_from(&request.image);
        machine.options.clone_from(&request.options);
        let hidden =
            if self.draw.chance(self.faults.new_hidden) { self.draw.span(self.faults.hide_most) } else { Span::ZERO };
        machine.shown_from = at.plus(hidden.max(self.hide_new).to_std());
        let count = self.live.entry((request.rule.instance_type.clone(), request.rule.purchase)).or_default();
        *count += 1;
        let most = self.max_live.entry((request.rule.instance_type.clone(), request.rule.purchase)).or_default();
        *most = (*most).max(*count);
        self.tokens.insert(key, machine.id.clone());
        let answer = Machine { id: machine.id.clone(), address: None, purchase: machine.purchase };
        self.add(machine, at);
        Ok(answer)
    }

    fn launched_before(machine: &FakeMachine, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        let same = machine.instance_type == request.rule.instance_type
            && machine.asked == request.rule.purchase
            && machine.image == request.image
            && machine.options == request.options
            && machine.scope.account == request.scope.account
            && machine.owner == Some(request.log);
        if !same {
            return Err(LaunchError::Mismatch("IdempotentParameterMismatch".into()));
        }
        if machine.state() == MachineState::Terminated {
            return Err(LaunchError::Ended);
        }
        Ok(Machine { id: machine.id.clone(), address: machine.address.clone(), purchase: machine.purchase })
    }

    fn sold(&self, request: &LaunchRequest) -> Result<Offering, LaunchError> {
        let region = || self.offerings.iter().filter(|offering| offering.scope.region == request.scope.region);
        if !region().any(|offering| offering.zones.contains(&request.zone)) {
            return Err(LaunchError::Invalid(format!("InvalidZone.NotFound: {}", request.zone)));
        }
        let wanted = (&request.rule.instance_type, request.rule.purchase);
        let sold = region().find(|offering| (&offering.instance_type, offering.purchase) == wanted);
        let Some(offering) = sold else {
            return Err(LaunchError::Invalid(format!("InvalidInstanceType: {} {}", wanted.0, wanted.1)));
        };
        if !offering.zones.contains(&request.zone) {
            let why = format!("Unsupported: {} in {}", wanted.0, request.zone);
            return Err(LaunchError::Capacity { why, all_zones: false, permanent: true });
        }
        Ok(offering.clone())
    }

    /// Whether there is capacity and quota for one more.
    fn afford(&mut self, pool: &Pool, cpu: MilliCpu, at: Boot) -> Result<(), LaunchError> {
        if let Some(most) = self.quota.get(&pool.2) {
            let used: u64 =
                self.machines.values().filter(|machine| counts_for_quota(machine, pool.2)).map(|m| m.cpu.0).sum();
            if used + cpu.0 > most.0 {
                return Err(LaunchError::Quota(match pool.2 {
                    Purchase::Spot => "MaxSpotInstanceCountExceeded".into(),
                    Purchase::OnDemand => "VcpuLimitExceeded".into(),
                }));
            }
        }
        if self.draw.chance(self.faults.capacity) {
            let length = self.draw.span(self.faults.outage_most);
            self.outages.insert(pool.clone(), at.plus(length.to_std()));
        }
        let is_out = self.outages.get(pool).is_some_and(|until| at < *until) || self.capacity.get(pool) == Some(&0);
        if is_out {
            let why = format!("InsufficientInstanceCapacity: {} {} in {}", pool.0, pool.2, pool.1);
            return Err(LaunchError::Capacity { why, all_zones: false, permanent: false });
        }
        Ok(())
    }

    pub(super) fn new_machine(&mut self, scope: &Scope, zone: &str, offering: &Offering, at: Boot) -> FakeMachine {
        FakeMachine {
            id: MachineId(format!("i-0{:016x}", self.draw.bits())),
            scope: scope.clone(),
            zone: zone.to_owned(),
            instance_type: offering.instance_type.clone(),
            asked: offering.purchase,
            purchase: offering.purchase,
            token: None,
            owner: None,
            image: offering.image.clone(),
            options: LaunchOptions::default(),
            history: vec![(at, MachineState::Pending)],
            reason: None,
            address: None,
            has_network: true,
            shown_from: at,
            is_listed: true,
            cpu: offering.cpu,
            address_number: None,
        }
    }

    /// Takes a new machine in and draws what will befall it.
    pub(super) fn add(&mut self, mut machine: FakeMachine, at: Boot) {
        let id = machine.id.clone();
        let scripted = self.script.take(|script| match script {
            Script::FailBoot(reason) => Some(reason.clone()),
            _ => None,
        });
        let fails = scripted.or_else(|| {
            self.draw.chance(self.faults.boot_fails).then(|| "Server.InsufficientInstanceCapacity".to_owned())
        });
        machine.has_network =
            !(self.script.take_equal(&Script::NeverReachable) || self.draw.chance(self.faults.never_reachable));
        let is_spot = machine.purchase == Purchase::Spot;
        self.machines.insert(id.clone(), machine);
        let boots = at.plus(self.boot.to_std());
        match fails {
            Some(reason) => self.plan(boots, Due::FailsBoot(id.clone(), reason)),
            None => self.plan(boots, Due::Boots(id.clone())),
        }
        if is_spot && self.draw.chance(self.faults.interrupted) {
            let notice = self.some_time(at);
            self.take_back(&id, notice, Some(NOTICE_TIME));
        }
        if is_spot && self.draw.chance(self.faults.interrupted_unannounced) {
            let end = self.some_time(at);
            self.take_back(&id, end, None);
        }
        if is_spot && self.draw.chance(self.faults.notice_only) {
            let notice = self.some_time(at);
            self.plan(notice, Due::Announced(id.clone(), Some(notice.plus(NOTICE_TIME.to_std()))));
        }
        if self.draw.chance(self.faults.outsider_terminates) {
            let end = self.some_time(at);
            self.plan(end, Due::OutsiderTerminates(id.clone()));
        }
        if self.draw.chance(self.faults.outsider_halts) {
            let end = self.some_time(at);
            self.plan(end, Due::OutsiderHalts(id));
        }
        self.settle(at);
    }

    fn some_time(&mut self, from: Boot) -> Boot {
        from.plus(self.draw.span(self.faults.life_most).to_std())
    }

    /// Plans the end of a spot machine: at once, or that much after a notice.
    pub(super) fn take_back(&mut self, id: &MachineId, from: Boot, notice: Option<Span>) {
        let end = from.plus(notice.map_or(Duration::ZERO, Span::to_std));
        if notice.is_some() {
            self.plan(from, Due::Announced(id.clone(), Some(end)));
        }
        self.plan(end, Due::TakenBack(id.clone()));
    }
}

fn counts_for_quota(machine: &FakeMachine, purchase: Purchase) -> bool {
    machine.purchase == purchase
        && match (purchase, machine.state()) {
            (_, MachineState::Terminated) => false,
            (Purchase::OnDemand, MachineState::Pending | MachineState::Halted) => false,
            (Purchase::OnDemand, MachineState::Running | MachineState::ShuttingDown) | (Purchase::Spot, _) => true,
        }
}
