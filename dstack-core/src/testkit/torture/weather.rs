//! Faults that are picked: what befalls processes, clocks, the cloud and the way to runners.

use std::collections::BTreeMap;
use std::time::Duration;

use super::observer::Violation;
use super::schedule::{Schedule, USER};
use super::switchboard::Parked;
use crate::cloud::{FakeMachine, Moment};
use crate::model::{AppendId, AttemptId, Batch, Encoded, LogId, MachineId, MicroUsd, MilliCpu, Purchase, Span};
use crate::store::EventStore as _;
use futures::FutureExt;

const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";
const HOUR_US: i64 = 3_600_000_000;
const TEN_YEARS_US: i64 = 10 * 365 * 24 * HOUR_US;

/// What ends a fault that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repair {
    RegionUp,
    AccountBack,
    QuotaBack(Purchase),
    WallRight(usize),
}

impl Schedule<'_> {
    fn later(&mut self, most_secs: u64, repair: Repair) {
        let at = self.now().plus(Duration::from_secs(1 + self.draw.below(most_secs)));
        self.repair_number += 1;
        self.repairs.insert((at, self.repair_number), repair);
    }

    pub(super) fn repair(&mut self, repair: Repair) {
        match repair {
            Repair::RegionUp => self.truth.cloud.bring_up(REGION),
            Repair::AccountBack => self.truth.cloud.use_account(ACCOUNT),
            Repair::QuotaBack(purchase) => self.truth.cloud.set_quota(purchase, MilliCpu(10_000_000)),
            Repair::WallRight(index) => self.actors[index].clock.set_right(),
        }
    }

    /// One of the controllers that run and do not stand still.
    fn some_controller(&mut self) -> Option<usize> {
        let running = |index: &usize| self.actors[*index].is_running() && self.actors[*index].paused_until.is_none();
        let running: Vec<usize> = (USER + 1..self.actors.len()).filter(running).collect();
        running.get(usize::try_from(self.draw.below(running.len() as u64)).ok()?).copied()
    }

    fn some_machine(&mut self) -> Option<MachineId> {
        let mut machines = self.truth.cloud.machines();
        machines.retain(|machine: &FakeMachine| machine.is_live() && machine.token.is_some());
        machines.get(usize::try_from(self.draw.below(machines.len() as u64)).ok()?).map(|machine| machine.id.clone())
    }

    /// It dies, with all that it had under way, and is started again some time later.
    fn crash(&mut self, index: usize, most_secs: u64) {
        self.actors[index].kill();
        let wait = Duration::from_millis(self.draw.below(most_secs * 1_000));
        self.actors[index].starts_at = Some(self.now().plus(wait));
    }

    /// This fault comes about, if there is anything that it could befall.
    pub(super) fn befall(&mut self, name: &'static str) -> Result<(), Violation> {
        let is_hit = match name.split_once('.') {
            Some(("engine", what)) => self.befall_engine(what)?,
            Some(("cloud", what)) => self.befall_cloud(what),
            Some(("link", what)) => self.befall_link(what),
            Some(("store", _)) => self.write_newer_record(),
            Some(_) | None => false,
        };
        if is_hit {
            self.hit(name);
        }
        Ok(())
    }

    fn befall_engine(&mut self, what: &str) -> Result<bool, Violation> {
        if what == "crash_of_all" {
            for index in USER + 1..self.actors.len() {
                self.crash(index, 1_200);
            }
            return Ok(true);
        }
        let Some(index) = self.some_controller() else { return Ok(false) };
        match what {
            "crash" => {
                let at = self.board.parked(|parked| parked.actor == index);
                for number in at {
                    let Some(parked) = self.board.get(number) else { continue };
                    let side = if parked.point.moment == Moment::BeforeEffect { "before" } else { "after" };
                    *self.observer.seen.0.entry(format!("crash: {side} {}", parked.point.call)).or_default() += 1;
                }
                self.crash(index, 120);
            }
            "panic" => {
                // It is counted when it happens.
                self.board.panic_next(index);
                return Ok(false);
            }
            "pause" => self.pause(index, 1, 60)?,
            "pause_long" => self.pause(index, 60, 3_600)?,
            "terminated" => {
                let is_second = self.actors[index].was_asked;
                if is_second {
                    self.crash(index, 60);
                } else {
                    self.actors[index].ask_to_end();
                }
            }
            "clock_back" => self.shift(index, -HOUR_US),
            "clock_forward" => self.shift(index, HOUR_US),
            "clock_far" => {
                let far = if self.draw.chance(500) { TEN_YEARS_US } else { -TEN_YEARS_US };
                self.shift(index, far);
            }
            "clock_frozen" => {
                self.actors[index].clock.freeze_wall();
                self.later(1_800, Repair::WallRight(index));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The wall clock jumps, and is set right some time later, or is not.
    fn shift(&mut self, index: usize, by_us: i64) {
        self.actors[index].clock.shift_wall(by_us);
        if self.draw.chance(500) {
            self.later(1_800, Repair::WallRight(index));
        }
    }

    /// It stands still. What it has sent is on its way, and arrives; of what comes back it hears later.
    fn pause(&mut self, index: usize, least_secs: u64, most_secs: u64) -> Result<(), Violation> {
        let sends = self.board.parked(|parked| {
            parked.actor == index && parked.point.call == "launch" && parked.point.moment == Moment::BeforeEffect
        });
        for number in sends {
            self.open(number)?;
        }
        self.go_on()?;
        let length = Duration::from_secs(least_secs + self.draw.below(most_secs - least_secs));
        self.actors[index].paused_until = Some(self.now().plus(length));
        Ok(())
    }

    /// The user's program dies where it is: whether its command is in the log, it does not know.
    pub(super) fn kills_user(&mut self, parked: &Parked) -> bool {
        let rate = self.swarm.rate("engine.crash_of_user");
        if parked.actor != USER || self.truth.is_settling || !self.draw.chance(rate) {
            return false;
        }
        self.hit("engine.crash_of_user");
        self.actors[USER].kill();
        self.was_told("crashed");
        true
    }

    /// A sender stands still exactly between its last look at the clock and the send, for less than the margin allows; one that
    /// starts an attempt for as long as it likes: others may have stopped it by then, or given it up.
    pub(super) fn pauses_sender(&mut self, parked: &Parked) {
        let (what, length) = match parked.point.call {
            "launch" => ("engine.pause_of_send", 1 + self.draw.below(50)),
            "start" => ("engine.pause_of_start", 30 + self.draw.below(900)),
            _ => return,
        };
        let is_send = parked.point.moment == Moment::BeforeEffect && !self.truth.is_settling;
        let rate = self.swarm.rate(what);
        if is_send && self.draw.chance(rate) {
            self.hit(what);
            self.actors[parked.actor].paused_until = Some(self.now().plus(Duration::from_secs(length)));
            let attempt = parked.point.subject.rsplit(' ').next().and_then(|word| word.parse::<AttemptId>().ok());
            let after = Duration::from_secs(1 + self.draw.below(20));
            if let Some(attempt) = attempt.filter(|_| self.draw.chance(500)) {
                self.is_told_to_stop(attempt.workflow, after);
            }
        }
    }

    fn befall_cloud(&mut self, what: &str) -> bool {
        match what {
            "account_changed" => {
                self.truth.cloud.use_account("111111111111");
                self.later(900, Repair::AccountBack);
            }
            "price_moved" => {
                let rule =
                    &self.swarm.rules[usize::try_from(self.draw.below(self.swarm.rules.len() as u64)).unwrap_or(0)];
                let price = (!self.draw.chance(100)).then(|| MicroUsd(10_000 + self.draw.below(400_000)));
                self.truth.cloud.set_price(&rule.instance_type, rule.purchase, price);
            }
            "quota_lowered" => {
                let purchase = if self.draw.chance(500) { Purchase::Spot } else { Purchase::OnDemand };
                self.truth.cloud.set_quota(purchase, MilliCpu(self.draw.below(6_000)));
                self.later(1_800, Repair::QuotaBack(purchase));
            }
            "region_outage" => {
                self.truth.cloud.take_down(REGION);
                self.later(900, Repair::RegionUp);
            }
            "stranger" => {
                let owner = self.draw.chance(500).then(|| LogId::from_bytes([7; 16]));
                self.add_stranger(owner);
            }
            "stranger_of_ours" => {
                let Some(log) = self.observer.state.log() else { return false };
                self.add_stranger(Some(log));
            }
            _ => return false,
        }
        true
    }

    fn add_stranger(&mut self, owner: Option<LogId>) {
        if let Ok(machine) = self.truth.cloud.add_stranger(REGION, owner) {
            self.truth.strangers.insert(machine);
        }
    }

    fn befall_link(&mut self, what: &str) -> bool {
        let Some(machine) = self.some_machine() else { return false };
        let host = self.truth.host.clone();
        let starts = host.starts_after(0);
        let attempt = starts.iter().rev().find(|(_, on)| *on == machine).map(|(attempt, _)| *attempt);
        match (what, attempt) {
            ("cut", _) => {
                let length = Span::from_secs(1 + self.draw.below(600));
                host.cut_link(&machine, length);
            }
            ("disk_filled", _) => host.fill_disk(&machine),
            ("host_changed", _) => host.change_host(&machine),
            ("process_killed", Some(attempt)) => host.lose_process(&machine, attempt),
            ("folder_wiped", Some(attempt)) => {
                self.truth.wiped.insert(attempt);
                host.wipe(&machine, attempt);
            }
            _ => return false,
        }
        true
    }

    /// A newer program writes to the log: those of today only read from then on.
    fn write_newer_record(&mut self) -> bool {
        if self.is_unreadable {
            return false;
        }
        let seq = self.observer.seq();
        let event = Encoded { kind: "FromTheFuture".into(), version: 9, json: b"{}".to_vec() };
        let batch = Batch { append: AppendId::from_bytes([0xff; 16]), events: vec![event] };
        let appended = self.raw_log().append(seq, &batch).now_or_never().expect("memory does not wait");
        self.is_unreadable = appended.is_ok();
        self.is_unreadable
    }

    /// Takes down when each fault first came about, as far as that is not known yet.
    pub(super) fn note_hits(&mut self) {
        let step = self.observer.step;
        for (name, _) in self.all_hits() {
            self.first_hits.entry(name).or_insert(step);
        }
    }

    /// How often each fault came about so far, by name.
    pub(super) fn all_hits(&self) -> BTreeMap<String, u64> {
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        let mut add = |part: &str, hits: &BTreeMap<&'static str, u64>| {
            for (name, count) in hits {
                *all.entry(format!("{part}{name}")).or_default() += count;
            }
        };
        add("cloud.", &self.truth.cloud.hits());
        add("link.", &self.truth.host.hits());
        add("store.", &self.store.hits());
        add("", &self.job_hits.counts());
        add("", &self.hits);
        let repeated = self.actors.iter().map(|actor| actor.clock.repeated()).sum();
        if repeated > 0 {
            all.insert("engine.entropy_repeated".to_owned(), repeated);
        }
        all
    }
}
