//! The laws of states, and of the events that lead to them.

use super::property::{Property, Truth, Verdict};
use crate::model::invariant::INVARIANTS;
use crate::model::{Record, State};

/// After every append all laws of [`invariant`](crate::model::invariant) hold; the indexes are made anew now and then, for
/// that is slow.
#[derive(Debug, Default)]
pub struct Laws {
    appends: u32,
}

/// Every so many appends the indexes are compared with ones made anew.
const INDEXES_EVERY: u32 = 8;

impl Property for Laws {
    fn name(&self) -> &'static str {
        "laws"
    }

    fn appended(&mut self, _truth: &Truth, state: &State) -> Verdict {
        self.appends += 1;
        for (name, law) in INVARIANTS {
            if *name != "indexes" || self.appends.is_multiple_of(INDEXES_EVERY) {
                law(state).map_err(|why| format!("{name}: {why}"))?;
            }
        }
        Ok(true)
    }
}

/// Every event fits the state that it meets.
#[derive(Debug, Default)]
pub struct Fits;

impl Property for Fits {
    fn name(&self) -> &'static str {
        "fits"
    }

    fn appended(&mut self, _truth: &Truth, state: &State) -> Verdict {
        match state.faults().iter().last() {
            Some(fault) => Err(format!("record {} ({}): {}", fault.seq.get(), fault.kind, fault.why)),
            None => Ok(true),
        }
    }
}

/// The state is a fold of the log: the same from the beginning, and from any snapshot on.
#[derive(Debug, Default)]
pub struct Fold;

impl Property for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }

    fn ended(&mut self, _truth: &Truth, state: &State, log: &[Record]) -> Verdict {
        let mut whole = State::default();
        let mut resumed = None;
        for (place, record) in log.iter().enumerate() {
            whole.apply(record);
            if place == log.len() / 2 {
                resumed = State::from_snapshot(&whole.to_snapshot());
            } else if let Some(resumed) = &mut resumed {
                resumed.apply(record);
            }
        }
        if whole != *state {
            return Err("a second fold of the log gives another state".to_owned());
        }
        match resumed {
            Some(resumed) if resumed == *state => Ok(true),
            Some(_) => Err("a snapshot and the records after it give another state".to_owned()),
            None => Err("a snapshot cannot be read".to_owned()),
        }
    }
}
