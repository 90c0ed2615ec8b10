//! Who cannot read all of a log does not write to it.

use super::property::{Property, Truth, Verdict};
use crate::model::{Record, State};

/// After a record of a newer program no program of today appends anything.
#[derive(Debug, Default)]
pub struct ReadOnly;

impl Property for ReadOnly {
    fn name(&self) -> &'static str {
        "read-only"
    }

    fn record(&mut self, _truth: &Truth, before: &State, record: &Record) -> Verdict {
        match before.unreadable() {
            Some(why) => Err(format!("record {} was appended after one that nobody can read: {why}", record.seq.get())),
            None => Ok(record.event().is_none()),
        }
    }
}
