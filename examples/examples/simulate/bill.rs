//! What machines cost, by what was paid for.

use std::collections::BTreeMap;

use dstack_core::model::{At, MicroUsd, Needs, Offering, RunnerId, Span};
use dstack_core::testkit::floor::{Delays, Rented, Start};
use serde::Serialize;

use crate::bound::{Division, least_rate, rate};
use crate::compare::Done;

/// Clouds bill at least so much of each machine. The simulated ones bill what was used.
const LEAST_BILLED: Span = Span::from_secs(60);

/// A bill in micro-dollars, by what was paid for. The parts and the least cost are the whole, but for rounding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Bill {
    /// All of it.
    pub(crate) all: u64,
    /// For machines that booted.
    pub(crate) boot: u64,
    /// For machines on which nothing ran.
    pub(crate) empty: u64,
    /// For room that was left beside what ran.
    pub(crate) unfilled: u64,
    /// For what ran, since the machine's share was dearer than that of the best type.
    pub(crate) dearer: u64,
    /// For attempts that the cloud ended.
    pub(crate) reruns: u64,
    /// Not in it: what a cloud would add for machines that were billed for less than a minute.
    pub(crate) under_minimum: u64,
    /// Machine time.
    #[serde(skip)]
    pub(crate) secs: u64,
}

impl Bill {
    /// The bill of all machines; shares of a machine are by this division of its price.
    pub(crate) fn of(done: &Done, division: Division) -> Self {
        let offerings: Vec<Offering> = done.offerings.values().cloned().collect();
        let mut least: BTreeMap<&Needs, u64> = BTreeMap::new();
        for needs in done.needs.values() {
            least.entry(needs).or_insert_with(|| least_rate(needs, &offerings, division));
        }
        let mut on: BTreeMap<RunnerId, Vec<&Start>> = BTreeMap::new();
        for start in done.floor.starts() {
            on.entry(start.runner).or_default().push(start);
        }
        let mut bill = Self::default();
        for (id, rented) in done.floor.rented() {
            let Some(offering) = done.offerings.get(&rented.rule) else { continue };
            let machine = Machine { rented, end: done.end };
            let starts = on.get(id).map_or(&[][..], Vec::as_slice);
            let shares = starts.iter().filter_map(|start| {
                let needs = done.needs.get(&start.workflow)?;
                Some((*start, rate(needs, offering, division), *least.get(needs)?))
            });
            bill.add(&machine, &shares.collect::<Vec<_>>());
        }
        bill
    }

    /// Each start with what its share of this machine costs an hour and what it costs at least, in thousandths.
    fn add(&mut self, machine: &Machine<'_>, starts: &[(&Start, u64, u64)]) {
        let span = machine.rented.span(machine.end);
        let price = machine.rented.price;
        self.all += price.per_hour_for(span).0;
        self.secs += span.as_secs();
        self.under_minimum += price.per_hour_for(LEAST_BILLED).0.saturating_sub(price.per_hour_for(span).0);
        let boot = Delays::default().boot.min(span);
        self.boot += price.per_hour_for(boot).0;
        let busy = price.per_hour_for(machine.busy(starts)).0;
        self.empty += price.per_hour_for(span).0.saturating_sub(price.per_hour_for(boot).0 + busy);
        let mut used = 0;
        for (start, here, least) in starts {
            let ran = start.until.unwrap_or(machine.end).since(start.at);
            let paid = share(*here, ran);
            used += paid;
            if start.is_done {
                self.dearer += paid.saturating_sub(share(*least, ran));
            } else {
                self.reruns += paid;
            }
        }
        self.unfilled += busy.saturating_sub(used);
    }
}

/// What was rented.
struct Machine<'a> {
    rented: &'a Rented,
    end: At,
}

impl Machine<'_> {
    /// For how long anything ran.
    fn busy(&self, starts: &[(&Start, u64, u64)]) -> Span {
        let end = |start: &Start| start.until.unwrap_or(self.end);
        let mut spans: Vec<(At, At)> = starts.iter().map(|(start, ..)| (start.at, end(start))).collect();
        spans.sort_unstable();
        let (mut micros, mut last) = (0, At::default());
        for (from, until) in spans {
            let from = from.max(last);
            if until > from {
                micros += until.since(from).as_micros();
                last = until;
            }
        }
        Span::from_micros(micros.unsigned_abs())
    }
}

/// Micro-dollars for so long at a rate in thousandths of them an hour.
fn share(rate: u64, ran: Span) -> u64 {
    MicroUsd(rate).per_hour_for(ran).0 / 1_000
}
