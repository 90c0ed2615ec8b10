//! Calls to the outside as futures: each gathers what it needs, calls ports alone, and returns what it saw.

mod close;
mod collect;
mod follow;
mod launch;
mod listen;
mod look;
mod outcome;
mod start;

pub(super) use close::close;
pub(super) use collect::{collect, release, save};
pub(super) use follow::{Followed, LogTime, follow};
pub(super) use launch::{greet, launch, terminate};
pub(super) use listen::listen;
pub(super) use look::{look, notice, prices};
pub(super) use outcome::{Done, EffectKey, Outcome};
pub(super) use start::{RecentArchives, StartInput, start};
