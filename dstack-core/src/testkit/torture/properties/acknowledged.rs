//! An append that somebody was told of is in the log.

use std::collections::{BTreeMap, BTreeSet};

use super::property::{Property, Truth, Verdict};
use crate::model::{AppendId, Record, Seq, State};
use crate::store::Acknowledged as Told;

/// Each acknowledged append is in the log, once, at the place that was told.
#[derive(Debug, Default)]
pub struct Acknowledged {
    told: BTreeMap<AppendId, Seq>,
}

impl Property for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged"
    }

    fn acknowledged(&mut self, state: &State, told: Told) -> Verdict {
        if told.last > state.seq() {
            return Err(format!("append {} is acknowledged at {}, beyond the log's end", told.append, told.last.get()));
        }
        match self.told.insert(told.append, told.last) {
            Some(before) if before != told.last => {
                Err(format!("append {} is at {} and at {}", told.append, before.get(), told.last.get()))
            }
            Some(_) | None => Ok(true),
        }
    }

    fn ended(&mut self, _truth: &Truth, _state: &State, log: &[Record]) -> Verdict {
        let mut last: BTreeMap<AppendId, Seq> = BTreeMap::new();
        let mut closed = BTreeSet::new();
        let mut newest = None;
        for record in log {
            if newest.is_some_and(|newest| newest != record.append) {
                closed.extend(newest);
            }
            if closed.contains(&record.append) {
                return Err(format!("append {} is in the log twice", record.append));
            }
            newest = Some(record.append);
            last.insert(record.append, record.seq);
        }
        match self.told.iter().find(|(append, seq)| last.get(append) != Some(seq)) {
            Some((append, seq)) => Err(format!("append {append} was acknowledged at {}, and is not there", seq.get())),
            None => Ok(!self.told.is_empty()),
        }
    }
}
