//! Events that did not fit: kept to be seen, never a crash.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::Seq;

/// Most faults that are kept; older ones are only counted.
const MAX_FAULTS: usize = 100;

/// An event that the state it met does not allow. It changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its record.
    pub seq: Seq,
    /// Its kind.
    pub kind: String,
    /// What does not fit.
    pub why: String,
}

/// The newest faults, and how many there were.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Faults {
    newest: VecDeque<Fault>,
    count: u64,
}

impl Faults {
    /// The newest faults, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.newest.iter()
    }

    /// How many there were in all.
    pub const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn push(&mut self, fault: Fault) {
        if self.newest.len() == MAX_FAULTS {
            self.newest.pop_front();
        }
        self.newest.push_back(fault);
        self.count += 1;
    }
}
