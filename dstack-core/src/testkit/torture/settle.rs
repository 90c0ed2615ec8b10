//! The second part of a schedule: faults stop, and everything must come to an end.

use std::time::Duration;

use super::observer::Violation;
use super::properties::left;
use super::schedule::{Schedule, USER};
use super::user;
use super::weather::Repair;
use crate::cloud::{Faults, MachineState};
use crate::host::HostFaults;
use crate::model::{Command, Purchase, Settings};
use crate::store::StoreFaults;

/// Within this time everything must be over. The longest wait of the policy is an hour, and a machine may hang in its end
/// for half of one.
const BOUND: Duration = Duration::from_secs(12 * 3_600);
/// Most choices until then.
const MAX_PICKS: u64 = 300_000;

impl Schedule<'_> {
    pub(super) fn settle(&mut self) -> Result<(), Violation> {
        self.note_hits();
        self.truth.is_settling = true;
        self.stop_faults();
        self.ask_for_all()?;
        self.start_some();
        let end = self.now().plus(BOUND);
        let last = self.observer.step + MAX_PICKS;
        while self.actors.iter().any(|actor| actor.is_running() || actor.starts_at.is_some()) {
            self.step()?;
            if self.now() > end || self.observer.step > last {
                let left =
                    left(&self.truth, &self.observer.state).unwrap_or_else(|| "a controller still runs".to_owned());
                let words = format!("after {} choices and {:?} without faults {left}", MAX_PICKS, BOUND);
                return Err(self.observer.violation("settled", &words));
            }
        }
        self.look()?;
        self.observer.ended(&self.truth)?;
        self.note_hits();
        Ok(())
    }

    /// No fault comes about any more, what lasts is repaired, and some of the processes are gone for good.
    fn stop_faults(&mut self) {
        self.truth.cloud.set_faults(Faults::none());
        self.truth.host.set_faults(HostFaults::default());
        self.store.set_faults(StoreFaults::default());
        self.repairs.clear();
        self.board.calm();
        self.repair(Repair::RegionUp);
        self.repair(Repair::AccountBack);
        self.repair(Repair::QuotaBack(Purchase::Spot));
        self.repair(Repair::QuotaBack(Purchase::OnDemand));
        for machine in self.truth.cloud.machines() {
            if machine.state() != MachineState::Terminated {
                self.truth.cloud.set_network(&machine.id, true);
            }
        }
        // A person ends the machines that an old copy of the log may have left.
        for stranger in &self.truth.strangers {
            self.truth.cloud.outsider_terminates(stranger);
        }
        for index in 0..self.actors.len() {
            let actor = &mut self.actors[index];
            actor.clock.set_right();
            actor.starts_at = None;
            if index != USER && actor.is_running() && actor.paused_until.is_none() && self.draw.chance(300) {
                actor.ask_to_end();
            } else {
                actor.kill();
            }
        }
    }

    /// One of the controllers is started again, and some of the others.
    fn start_some(&mut self) {
        let kept = USER + 1 + usize::try_from(self.draw.below(u64::from(self.swarm.controllers))).unwrap_or(0);
        let now = self.now();
        for index in USER + 1..self.actors.len() {
            if index == kept || self.draw.chance(500) {
                let wait = Duration::from_secs(self.draw.below(300));
                self.actors[index].kill();
                self.actors[index].starts_at = Some(now.plus(wait));
            }
        }
    }

    /// The user allows everything again, and wants nothing to be kept.
    fn ask_for_all(&mut self) -> Result<(), Violation> {
        let mut commands = vec![Command::Enable, Command::Set(Settings::default())];
        commands.extend(self.swarm.rules.iter().map(|rule| user::allow(rule, rule.max, 0)));
        for command in commands {
            self.give(command);
            while self.actors[USER].is_running() {
                self.step()?;
            }
        }
        Ok(())
    }
}
