//! What a launch does in the fake cloud, and what will befall the new machine.

use std::time::Duration;

use super::super::{LaunchError, Machine, MachineState};
use super::FakeMachine;
use super::faults::{Faults, Script};
use super::world::{Due, NOTICE_TIME, Pool, World};
use crate::clock::Boot;
use crate::model::{LaunchOptions, LaunchRequest, MachineId, MilliCpu, Offering, Purchase, Scope, Span};
use crate::planted::{self, Bug};

impl World {
    /// A launch's effect, without the faults of the way there and back.
    pub(super) fn launch(&mut self, request: &LaunchRequest, at: Boot) -> Result<Machine, LaunchError> {
        let key = (request.scope.region.clone(), request.zone.clone(), request.token());
        let known = self.tokens.get(&key).filter(|_| !planted::is(Bug::TokenPerSend));
        if let Some(machine) = known.and_then(|id| self.machines.get(id)) {
            let answer = Self::launched_before(machine, request);
            self.draw.hit(if answer == Err(LaunchError::Ended) { "token_ended" } else { "token_seen_again" });
            return answer;
        }
        let offering = self.sold(request)?;
        let pool = (request.rule.instance_type.clone(), request.zone.clone(), request.rule.purchase);
        self.afford(&pool, offering.cpu, at)?;
        if let Some(left) = self.capacity.get_mut(&pool) {
            *left -= 1;
        }
        let on_demand = request.rule.purchase == Purchase::Spot
            && self.strikes("on_demand_for_spot", &Script::GiveOnDemand, self.faults.on_demand_for_spot);
        let mut machine = self.new_machine(&request.scope, &request.zone, &offering, at);
        machine.purchase = if on_demand { Purchase::OnDemand } else { request.rule.purchase };
        machine.token = Some(request.token());
        machine.owner = Some(request.log);
        machine.image.clone_from(&request.image);
        machine.options.clone_from(&request.options);
        let is_hidden = self.draw.befalls("new_hidden", self.faults.new_hidden);
        let hidden = if is_hidden { self.draw.span(self.faults.hide_most) } else { Span::ZERO };
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
                self.draw.hit("quota_full");
                return Err(LaunchError::Quota(match pool.2 {
                    Purchase::Spot => "MaxSpotInstanceCountExceeded".into(),
                    Purchase::OnDemand => "VcpuLimitExceeded".into(),
                }));
            }
        }
        if self.draw.befalls("quota", self.faults.quota) {
            return Err(LaunchError::Quota("VcpuLimitExceeded".into()));
        }
        if self.draw.befalls("unsupported", self.faults.unsupported) {
            let why = format!("Unsupported: {} in {}", pool.0, pool.1);
            return Err(LaunchError::Capacity { why, all_zones: false, permanent: true });
        }
        if pool.2 == Purchase::Spot && self.draw.befalls("price_too_low", self.faults.price_too_low) {
            let why = format!("SpotMaxPriceTooLow: {} in {}", pool.0, pool.1);
            return Err(LaunchError::Capacity { why, all_zones: false, permanent: false });
        }
        if self.draw.befalls("capacity", self.faults.capacity) {
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
            reboots: Vec::new(),
            notice: None,
            missing: None,
            shown_from: at,
            is_listed: true,
            cpu: offering.cpu,
            address_number: None,
        }
    }

    /// Takes a new machine in and draws what will befall it.
    pub(super) fn add(&mut self, mut machine: FakeMachine, at: Boot) {
        let id = machine.id.clone();
        let faults = self.faults.clone();
        let ordered = self.script.take(|script| match script {
            Script::FailBoot(reason) => Some(reason.clone()),
            _ => None,
        });
        if ordered.is_some() {
            self.draw.hit("boot_fails");
        }
        let dies = ordered.is_none() && self.draw.befalls("boot_fails", faults.boot_fails);
        let fails = ordered.or_else(|| dies.then(|| "Server.InsufficientInstanceCapacity".to_owned()));
        machine.has_network = !self.strikes("never_reachable", &Script::NeverReachable, faults.never_reachable);
        if self.draw.befalls("row_missing", faults.row_missing) {
            let from = self.some_time(at);
            machine.missing = Some((from, from.plus(self.draw.span(faults.missing_most).to_std())));
        }
        let (is_spot, has_network) = (machine.purchase == Purchase::Spot, machine.has_network);
        self.machines.insert(id.clone(), machine);
        self.changes += 1;
        let boots = at.plus(self.boot.to_std());
        match fails {
            Some(reason) => self.plan(boots, Due::FailsBoot(id.clone(), reason)),
            None => self.plan(boots, Due::Boots(id.clone())),
        }
        if is_spot {
            self.draw_notices(&id, &faults, at);
        }
        if self.draw.befalls("outsider_terminates", faults.outsider_terminates) {
            let end = self.some_time(at);
            self.plan(end, Due::OutsiderTerminates(id.clone()));
        }
        if self.draw.befalls("outsider_halts", faults.outsider_halts) {
            let end = self.some_time(at);
            self.plan(end, Due::OutsiderHalts(id.clone()));
        }
        if self.draw.chance(faults.outsider_reboots) {
            let moment = self.some_time(at);
            self.plan(moment, Due::OutsiderReboots(id.clone()));
        }
        if has_network && self.draw.befalls("network_lost", faults.network_lost) {
            let from = self.some_time(at);
            let until = from.plus(self.draw.span(faults.outage_most).to_std());
            self.plan(from, Due::Network(id.clone(), false));
            self.plan(until, Due::Network(id, true));
        }
        self.settle(at);
    }

    /// What the cloud will say of a spot machine, and do with it.
    fn draw_notices(&mut self, id: &MachineId, faults: &Faults, at: Boot) {
        if self.draw.befalls("interrupted", faults.interrupted) {
            let notice = self.some_time(at);
            self.take_back(id, notice, Some(NOTICE_TIME));
        }
        if self.draw.befalls("interrupted_unannounced", faults.interrupted_unannounced) {
            let end = self.some_time(at);
            self.take_back(id, end, None);
        }
        if self.draw.befalls("notice_only", faults.notice_only) {
            let notice = self.some_time(at);
            self.plan(notice, Due::Announced(id.clone(), Some(notice.plus(NOTICE_TIME.to_std()))));
        }
        if self.draw.befalls("rebalance", faults.rebalance) {
            let notice = self.some_time(at);
            self.plan(notice, Due::Announced(id.clone(), None));
        }
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
