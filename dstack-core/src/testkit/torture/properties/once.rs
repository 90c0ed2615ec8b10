//! A fact is in the log once.

use std::collections::BTreeSet;

use super::property::{Property, Truth, Verdict};
use crate::model::{AttemptId, Event, Record, State};

/// An attempt exits once and ends once, whoever saw it how often. A runner's end may be told by an answer and a look that
/// arrive together.
#[derive(Debug, Default)]
pub struct Once {
    exited: BTreeSet<AttemptId>,
    ended: BTreeSet<AttemptId>,
}

impl Property for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn record(&mut self, _truth: &Truth, _before: &State, record: &Record) -> Verdict {
        let Some(event) = record.event() else { return Ok(false) };
        let (is_new, attempt) = match event {
            Event::AttemptExited(it) => (self.exited.insert(it.attempt), it.attempt),
            Event::ResultsKept(it) => (self.ended.insert(it.attempt), it.attempt),
            Event::AttemptStopped(it) => (self.ended.insert(it.attempt), it.attempt),
            Event::AttemptLost(it) => (self.ended.insert(it.attempt), it.attempt),
            _ => return Ok(false),
        };
        let kind = event.kind();
        if is_new { Ok(true) } else { Err(format!("record {}: {kind} of {attempt}, once more", record.seq.get())) }
    }
}
