//! Which decision costs what: the bill of the scheduler, and of planners that decide one thing otherwise, by what was paid for.

use std::error::Error;
use std::fmt;
use std::path::Path;

use dstack_core::model::MicroUsd;
use serde::Serialize;

use crate::bill::Bill;
use crate::compare::{Setting, Trace, Waits};
use crate::policies::Policy;

/// What one planner paid.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Decided {
    policy: &'static str,
    wait_median_s: u64,
    wait_p95_s: u64,
    bill_micro_usd: Bill,
    /// The bill and its parts in hundredths of the least cost.
    over_least_percent: Bill,
}

/// What all of them paid for one workload.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Decisions {
    trace: String,
    least_cost_micro_usd: u64,
    rows: Vec<Decided>,
}

/// Runs a workload under the scheduler and under planners that decide one thing otherwise.
///
/// # Errors
/// When a file is not there, or is not what it should be.
pub(crate) fn decisions(traces: &Path, ec2: &Path, trace: &Trace) -> Result<Decisions, Box<dyn Error>> {
    let setting = Setting::read(traces, ec2, trace)?;
    let (least, division) = setting.least_cost();
    let row = |policy: &Policy| {
        let done = setting.run(*policy);
        let (bill, waits) = (Bill::of(&done, division), Waits::of(&done));
        Decided {
            policy: policy.name(),
            wait_median_s: waits.percentile(50),
            wait_p95_s: waits.percentile(95),
            bill_micro_usd: bill,
            over_least_percent: bill.percent_of(least),
        }
    };
    let rows = Policy::DECISIONS.iter().map(row).collect();
    Ok(Decisions { trace: setting.name, least_cost_micro_usd: least, rows })
}

impl Bill {
    fn percent_of(self, least: u64) -> Self {
        let percent = |part: u64| (part.saturating_mul(100) + least / 2) / least.max(1);
        Self {
            all: percent(self.all),
            boot: percent(self.boot),
            empty: percent(self.empty),
            unfilled: percent(self.unfilled),
            dearer: percent(self.dearer),
            reruns: percent(self.reruns),
            under_minimum: percent(self.under_minimum),
            secs: self.secs,
        }
    }
}

impl fmt::Display for Decisions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{}: in hundredths of the least cost, {}",
            self.trace,
            MicroUsd(self.least_cost_micro_usd)
        )?;
        writeln!(
            formatter,
            "{:<26}{:>6}{:>6}{:>6}{:>10}{:>8}{:>8}{:>9}{:>9}",
            "", "bill", "boot", "idle", "unfilled", "dearer", "reruns", "wait 50", "wait 95"
        )?;
        for row in &self.rows {
            let part = &row.over_least_percent;
            writeln!(
                formatter,
                "{:<26}{:>6}{:>6}{:>6}{:>10}{:>8}{:>8}{:>8}s{:>8}s",
                row.policy,
                part.all,
                part.boot,
                part.empty,
                part.unfilled,
                part.dearer,
                part.reruns,
                row.wait_median_s,
                row.wait_p95_s
            )?;
        }
        let minimum: u64 = self.rows.first().map_or(0, |row| row.bill_micro_usd.under_minimum);
        writeln!(formatter, "a bill by the minute at least would add {} to the first\n", MicroUsd(minimum))
    }
}
