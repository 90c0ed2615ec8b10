//! The cloud's truth: which machines there are.

use std::collections::BTreeMap;

use super::act::Luck;
use crate::cloud::{Absence, LaunchError, Look, Machine, MachineState, Seen};
use crate::model::{Address, At, LaunchRequest, MachineId, RuleKey, Scope, Span, Token};

/// Machines may be missing from a listing for this long after their launch.
const MAX_LISTING_DELAY: Span = Span::from_secs(540);

/// A machine as it really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeMachine {
    /// Its name.
    pub id: MachineId,
    /// The rule that it counts against.
    pub rule: RuleKey,
    /// Where it is.
    pub scope: Scope,
    /// What it is doing.
    pub state: MachineState,
    /// When it was launched.
    pub launched: At,
}

/// All machines there ever were.
#[derive(Debug, Clone, Default)]
pub struct Cloud {
    machines: BTreeMap<Token, FakeMachine>,
}

impl Cloud {
    /// Machines by the token of their launch.
    pub const fn machines(&self) -> &BTreeMap<Token, FakeMachine> {
        &self.machines
    }

    /// Machines that cost money: all that have not ended.
    pub fn alive(&self) -> impl Iterator<Item = (&Token, &FakeMachine)> {
        self.machines.iter().filter(|(_, machine)| machine.state != MachineState::Terminated)
    }

    pub(super) fn machine(&mut self, id: &MachineId) -> Option<&mut FakeMachine> {
        self.machines.values_mut().find(|machine| machine.id == *id)
    }

    pub(super) fn nth_alive(&mut self, pick: usize) -> Option<&mut FakeMachine> {
        let mut alive: Vec<_> =
            self.machines.values_mut().filter(|machine| machine.state != MachineState::Terminated).collect();
        let place = pick.checked_rem(alive.len())?;
        Some(alive.swap_remove(place))
    }

    /// The same token never makes a second machine.
    pub(super) fn launch(&mut self, at: At, request: &LaunchRequest, luck: Luck) -> Result<Machine, LaunchError> {
        let words = || "as the cloud says".to_owned();
        match luck {
            Luck::Throttled => return Err(LaunchError::Throttled(words())),
            Luck::Credentials => return Err(LaunchError::Credentials(words())),
            Luck::Fine | Luck::NoCapacity(_) | Luck::Quota | Luck::Denied => {}
        }
        let token = request.token();
        if let Some(known) = self.machines.get(&token) {
            return if known.state == MachineState::Terminated {
                Err(LaunchError::Ended)
            } else {
                Ok(answer(known, request))
            };
        }
        match luck {
            Luck::NoCapacity(all_zones) => {
                return Err(LaunchError::Capacity { why: words(), all_zones, permanent: false });
            }
            Luck::Quota => return Err(LaunchError::Quota(words())),
            Luck::Denied => return Err(LaunchError::Denied(words())),
            Luck::Fine | Luck::Throttled | Luck::Credentials => {}
        }
        let machine = FakeMachine {
            id: MachineId(format!("m-{}", self.machines.len())),
            rule: request.rule.clone(),
            scope: request.scope.clone(),
            state: MachineState::Pending,
            launched: at,
        };
        let answer = answer(&machine, request);
        self.machines.insert(token, machine);
        Ok(answer)
    }

    /// A listing of the scope, and a look-up of those that are known. Bits of `hidden` leave out machines that a cloud may
    /// leave out: young ones, and those that are over.
    pub(super) fn look(&self, at: At, scope: &Scope, known: &[Token], hidden: u8) -> Look {
        let mut look = Look::default();
        let here = self.machines.iter().filter(|(_, machine)| machine.scope == *scope);
        for (place, (token, machine)) in here.enumerate() {
            let may_hide = machine.state == MachineState::Terminated || at < machine.launched.plus(MAX_LISTING_DELAY);
            if may_hide && hidden >> (place % 8) & 1 == 1 {
                continue;
            }
            look.machines.push(Seen {
                id: machine.id.clone(),
                token: Some(token.clone()),
                state: machine.state,
                address: Some(address(machine)),
                reason: None,
                is_taken_back: false,
            });
        }
        let is_absent = |token: &&Token| !look.machines.iter().any(|seen| seen.token.as_ref() == Some(*token));
        look.absent = known.iter().filter(is_absent).cloned().map(Absence).collect();
        look
    }
}

fn answer(machine: &FakeMachine, request: &LaunchRequest) -> Machine {
    Machine { id: machine.id.clone(), address: Some(address(machine)), purchase: request.rule.purchase }
}

fn address(machine: &FakeMachine) -> Address {
    Address(format!("at-{}", machine.id))
}
