//! What all handles of one faulty log have in common.

use std::sync::{Arc, Mutex, PoisonError};

use super::StoreFaults;
use crate::clock::Boot;
use crate::cloud::{Draw, Gate};
use crate::model::{AppendId, Seq};

/// An append of which somebody was told that it is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its id.
    pub append: AppendId,
    /// The place of its last record.
    pub last: Seq,
}

pub(super) struct Shared {
    pub(super) gate: Arc<dyn Gate>,
    state: Mutex<Common>,
}

pub(super) struct Common {
    pub(super) faults: StoreFaults,
    pub(super) draw: Draw,
    pub(super) busy_until: Boot,
    pub(super) acknowledged: Vec<Acknowledged>,
}

impl Shared {
    pub(super) fn new(gate: Arc<dyn Gate>, seed: u64) -> Self {
        let state = Common {
            faults: StoreFaults::default(),
            draw: Draw::new(seed),
            busy_until: Boot::default(),
            acknowledged: Vec::new(),
        };
        Self { gate, state: Mutex::new(state) }
    }

    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Common) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
