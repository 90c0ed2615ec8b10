//! The cloud's truth: machines, launches under way, and what a look shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use dstack_core::cloud::{Absence, Known, LaunchError, Look, Machine, MachineState, Seen};
use dstack_core::controller::ClaimKey;
use dstack_core::model::{Address, AttemptId, LaunchRequest, MachineId, RunnerId, Token};

/// Ticks for which a listing may not show a new machine.
const HIDDEN_TICKS: u32 = 1;

/// What became of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Life {
    /// It takes its slot.
    Alive,
    /// It ended, and looks show that.
    Ended,
    /// It ended, and looks show nothing of it.
    Vanished,
}

/// A machine of the cloud.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// The runner whose launch made it.
    pub(crate) runner: RunnerId,
    /// The cloud's name of it.
    pub(crate) id: MachineId,
    /// The launch's token.
    pub(crate) token: Token,
    /// The zone it is in: tokens are known by zone.
    pub(crate) zone: String,
    /// When it began.
    pub(crate) since: u32,
    /// What became of it.
    pub(crate) life: Life,
    /// Attempts that began on it. Beginning is exclusive: each begins at most once there.
    pub(crate) begun: BTreeSet<AttemptId>,
}

impl Instance {
    fn answer(&self, request: &LaunchRequest) -> Machine {
        let address = Some(Address("10.0.0.1".to_owned()));
        Machine { id: self.id.clone(), address, purchase: request.rule.purchase }
    }
}

/// A launch on its way to the cloud.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The claim it was sent under.
    pub(crate) key: ClaimKey,
    /// Which send of its call it is, from 1.
    pub(crate) send: u8,
    /// What is sent.
    pub(crate) request: Arc<LaunchRequest>,
    /// When it was sent.
    pub(crate) sent: u32,
}

/// What the cloud does with a launch that would make a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Luck {
    /// It makes one.
    Fine,
    /// It has none.
    Capacity,
    /// It asks to go slower.
    Throttled,
}

/// The cloud.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cloud {
    /// Its machines, in the order in which they began.
    pub(crate) machines: Vec<Arc<Instance>>,
    /// Launches that have not landed.
    pub(crate) net: Vec<Message>,
}

impl Cloud {
    /// Machines that take a slot.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &Instance> {
        self.machines.iter().map(|machine| &**machine).filter(|machine| machine.life == Life::Alive)
    }

    /// The machine of this token in this zone, if one ever was.
    pub(crate) fn of(&self, request: &LaunchRequest) -> Option<&Instance> {
        let token = request.token();
        self.machines.iter().map(|machine| &**machine).find(|it| it.token == token && it.zone == request.zone)
    }

    /// A launch lands. The token of a machine never makes a second one in its zone.
    pub(crate) fn land(&mut self, message: &Message, luck: Luck, now: u32) -> Result<Machine, LaunchError> {
        let request = &message.request;
        match (self.of(request), luck) {
            (Some(machine), _) if machine.life == Life::Alive => Ok(machine.answer(request)),
            (Some(_), _) => Err(LaunchError::Ended),
            (None, Luck::Capacity) => {
                Err(LaunchError::Capacity { why: "none".to_owned(), all_zones: false, permanent: false })
            }
            (None, Luck::Throttled) => Err(LaunchError::Throttled("slower".to_owned())),
            (None, Luck::Fine) => {
                let token = request.token();
                let machine = Instance {
                    runner: message.key.0,
                    id: MachineId(format!("{}-{token}", request.zone)),
                    token,
                    zone: request.zone.clone(),
                    since: now,
                    life: Life::Alive,
                    begun: BTreeSet::new(),
                };
                let answer = machine.answer(request);
                self.machines.push(Arc::new(machine));
                Ok(answer)
            }
        }
    }

    /// Whether a listing may leave this machine out still.
    pub(crate) fn may_hide(machine: &Instance, now: u32) -> bool {
        machine.life == Life::Alive && now < machine.since + HIDDEN_TICKS
    }

    /// A complete look that must answer for `known`. New machines are in it only if `shows_new`.
    pub(crate) fn look(&self, known: &[Known], now: u32, shows_new: bool) -> Look {
        let is_shown =
            |machine: &&Arc<Instance>| machine.life != Life::Vanished && (shows_new || !Self::may_hide(machine, now));
        let shown: Vec<_> = self.machines.iter().filter(is_shown).collect();
        let seen = |machine: &&Arc<Instance>| Seen {
            id: machine.id.clone(),
            token: Some(machine.token.clone()),
            state: if machine.life == Life::Alive { MachineState::Running } else { MachineState::Terminated },
            address: (machine.life == Life::Alive).then(|| Address("10.0.0.1".to_owned())),
            reason: None,
            is_taken_back: false,
        };
        let is_absent = |known: &&Known| !shown.iter().any(|machine| machine.token == known.token);
        Look {
            machines: shown.iter().map(seen).collect(),
            absent: known.iter().filter(is_absent).map(|known| Absence(known.token.clone())).collect(),
        }
    }
}
