//! A reference scenario.

use futures::future::BoxFuture;

use crate::model::Command;
use crate::model::state::Outcome;
use crate::testkit::World;

/// How a workflow may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It did its work.
    Succeeded,
    /// Its command failed with this code.
    Failed(u8),
    /// Its user stopped it.
    Stopped,
    /// What it depends on did not succeed.
    Skipped,
    /// It was lost too often.
    Lost,
}

impl End {
    /// Whether this is that outcome.
    pub const fn is(self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Succeeded, Outcome::Succeeded)
            | (Self::Stopped, Outcome::Stopped)
            | (Self::Skipped, Outcome::Skipped { .. })
            | (Self::Lost, Outcome::Lost(_)) => true,
            (Self::Failed(code), Outcome::Failed { exit, .. }) => exit.code == code,
            (
                Self::Succeeded | Self::Failed(_) | Self::Stopped | Self::Skipped | Self::Lost,
                Outcome::Succeeded
                | Outcome::Failed { .. }
                | Outcome::Stopped
                | Outcome::Skipped { .. }
                | Outcome::Lost(_),
            ) => false,
        }
    }
}

/// A reference scenario: a world, what its user asks for, and what happens meanwhile.
pub struct Story {
    /// What it is called.
    pub name: &'static str,
    /// What it is about; where it repeats something that went wrong elsewhere, with its number (R1 and so on).
    pub about: &'static str,
    /// The world, from a seed.
    pub world: fn(u64) -> World,
    /// What its user asks for at the beginning.
    pub commands: fn(&World) -> Vec<Command>,
    /// What happens while controllers work.
    pub meanwhile: for<'a> fn(&'a World) -> BoxFuture<'a, ()>,
    /// The most machines of one offering that may ever live at once.
    pub most_machines: usize,
    /// How each workflow may end, in the order of submission.
    pub ends: &'static [&'static [End]],
}

impl Story {
    /// The seed of its world: equal names give equal lives.
    pub fn seed(&self) -> u64 {
        self.name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }
}
