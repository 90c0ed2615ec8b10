//! Reads the log as it grows, keeps the state of its durable end, and asks the properties.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;

use super::properties::{self, Property, Truth, Verdict};
use super::transitions::Seen;
use crate::cloud::GatePoint;
use crate::model::{Event, Record, Seq, State};
use crate::store::{Acknowledged, EventStore, MemoryStore};

/// A property that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// The property's name.
    pub property: String,
    /// What is wrong.
    pub why: String,
    /// After how many choices it was seen.
    pub step: u64,
}

/// How often a property had something to check, and when it did so last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Checks {
    pub(super) count: u64,
    pub(super) last_step: u64,
}

pub(super) struct Observer {
    log: Arc<MemoryStore>,
    pub(super) state: State,
    pub(super) records: Vec<Record>,
    pub(super) seen: Seen,
    pub(super) checks: BTreeMap<&'static str, Checks>,
    properties: Vec<Box<dyn Property>>,
    pub(super) step: u64,
    known: (u64, usize, u64),
    /// Certificates that were recorded.
    stopped: u64,
}

impl Observer {
    pub(super) fn new(log: Arc<MemoryStore>) -> Self {
        Self {
            log,
            state: State::default(),
            records: Vec::new(),
            seen: Seen::default(),
            checks: BTreeMap::new(),
            properties: properties::all(),
            step: 0,
            known: (0, 0, 0),
            stopped: 0,
        }
    }

    fn ask(&mut self, ask: impl Fn(&mut dyn Property, &State) -> Verdict) -> Result<(), Violation> {
        for property in &mut self.properties {
            match ask(&mut **property, &self.state) {
                Ok(true) => {
                    let checks = self.checks.entry(property.name()).or_default();
                    checks.count += 1;
                    checks.last_step = self.step;
                }
                Ok(false) => {}
                Err(why) => {
                    return Err(Violation { property: property.name().to_owned(), why, step: self.step });
                }
            }
        }
        Ok(())
    }

    /// Takes in what the log has more, and looks at the world if it has changed.
    pub(super) fn observe(&mut self, truth: &Truth, told: Vec<Acknowledged>) -> Result<(), Violation> {
        let read = self.log.read(self.state.seq(), usize::MAX).now_or_never().expect("memory does not wait");
        let records = read.map_err(|error| self.violation("order", &error.to_string()))?;
        let mut records = records.into_iter().peekable();
        while let Some(record) = records.next() {
            self.take_in(truth, &record)?;
            let is_last = records.peek().is_none_or(|next| next.append != record.append);
            self.records.push(record);
            if is_last {
                self.ask(|property, state| property.appended(truth, state))?;
            }
        }
        for told in told {
            self.ask(|property, state| property.acknowledged(state, told))?;
        }
        let known = (truth.cloud.changes(), truth.host.start_count(), self.stopped);
        if known != self.known {
            self.known = known;
            self.ask(|property, state| property.stepped(truth, state))?;
        }
        Ok(())
    }

    fn take_in(&mut self, truth: &Truth, record: &Record) -> Result<(), Violation> {
        self.ask(|property, state| property.record(truth, state, record))?;
        let Some(event) = record.event() else {
            self.state.apply(record);
            return Ok(());
        };
        let before = Seen::before(&self.state, event);
        self.state.apply(record);
        self.seen.after(&before, &self.state, event);
        self.stopped += u64::from(matches!(event, Event::RunnerStopped(_)));
        Ok(())
    }

    /// A call is about to take effect.
    pub(super) fn call(&mut self, truth: &Truth, point: &GatePoint) -> Result<(), Violation> {
        self.ask(|property, state| property.call(truth, state, point))
    }

    /// A controller says that nothing is left to do.
    pub(super) fn idle(&mut self, truth: &Truth) -> Result<(), Violation> {
        self.ask(|property, state| property.idle(truth, state))
    }

    /// Everything has settled.
    pub(super) fn ended(&mut self, truth: &Truth) -> Result<(), Violation> {
        let records = std::mem::take(&mut self.records);
        let asked = self.ask(|property, state| property.ended(truth, state, &records));
        self.records = records;
        asked
    }

    pub(super) fn violation(&self, property: &str, why: &str) -> Violation {
        Violation { property: property.to_owned(), why: why.to_owned(), step: self.step }
    }

    /// The log's length.
    pub(super) fn seq(&self) -> Seq {
        self.state.seq()
    }
}
