//! The log is a chain in time.

use super::property::{Property, Truth, Verdict};
use crate::model::{Record, State};

/// Places are gapless, time never runs backwards, and each record's hash follows from the one before.
#[derive(Debug, Default)]
pub struct Order {
    append: Option<crate::model::AppendId>,
    index: u32,
}

impl Property for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn record(&mut self, _truth: &Truth, before: &State, record: &Record) -> Verdict {
        if record.seq != before.seq().next() {
            return Err(format!("record {} follows {}", record.seq.get(), before.seq().get()));
        }
        if record.at < before.at() {
            return Err(format!("record {} is older than the one before", record.seq.get()));
        }
        self.index = if self.append == Some(record.append) { self.index + 1 } else { 0 };
        self.append = Some(record.append);
        let Some(event) = record.event() else { return Ok(false) };
        let hash = before.hash().next(record.seq, record.at, record.append, self.index, &event.encode());
        if hash == record.hash { Ok(true) } else { Err(format!("record {} breaks the chain", record.seq.get())) }
    }
}
