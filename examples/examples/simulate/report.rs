//! What the simulation cost and how long jobs waited, in numbers and as a page.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use dstack_core::clock::Boot;
use dstack_core::cloud::{FakeMachine, MachineState, builtin_offerings};
use dstack_core::model::{MicroUsd, Purchase, Span};
use serde::Serialize;

use crate::allow::Allow;
use crate::simulation::{Setup, Told, Truth};
use crate::workload::Job;

/// Columns of the chart; with its scale it is at most 80 wide.
const CHART_COLUMNS: usize = 70;
/// Rows of the chart.
const CHART_ROWS: u64 = 8;

/// Everything that is known afterwards; with `--json` it is printed as it stands.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seed: u64,
    allow: Vec<String>,
    jobs: usize,
    /// Jobs that ran to their end.
    finished: usize,
    /// Jobs that no rule could ever start.
    never_started: usize,
    /// Log time from the first moment until nothing was left to do.
    virtual_s: u64,
    /// What the machines cost while they ran, to the millionth of a dollar.
    cost_micro_usd: u64,
    /// Time that machines ran, all together.
    machine_s: u64,
    /// From when nothing but a runner was missing until the first start, of the jobs that started.
    wait_median_s: u64,
    wait_p95_s: u64,
    runners: usize,
    runners_most: u64,
    runners_by_type: BTreeMap<String, u64>,
    /// Most machines at once in each of equally long stretches of time.
    machines_over_time: Vec<u64>,
    events: u64,
    /// Why the job that was asked about waited, each time that the answer changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    explained: Vec<Told>,
    /// How fast it went here: the only figures that differ from time to time.
    wall: Wall,
}

#[derive(Debug, Serialize)]
struct Wall {
    elapsed_ms: u64,
    events_per_second: u64,
}

impl Report {
    pub(crate) fn new(setup: &Setup, jobs: &[Job], truth: &Truth, elapsed: Duration) -> Self {
        let waits = waits(jobs, truth);
        let mut runners_by_type: BTreeMap<String, u64> = BTreeMap::new();
        for machine in &truth.machines {
            *runners_by_type.entry(format!("{} {}", machine.instance_type, machine.purchase)).or_default() += 1;
        }
        let machines_over_time = machines_over_time(&truth.machines, truth.end, CHART_COLUMNS);
        let micros: u128 = elapsed.as_micros().max(1);
        let speed = u128::from(truth.events.get()) * 1_000_000 / micros;
        Self {
            seed: setup.seed,
            allow: setup.allow.iter().map(Allow::to_string).collect(),
            jobs: truth.submitted.len(),
            finished: truth.finished,
            never_started: truth.submitted.len() - waits.len(),
            virtual_s: truth.end.0.as_secs(),
            cost_micro_usd: cost(&truth.machines, truth.end).0,
            machine_s: truth.machines.iter().map(|machine| ran_for(machine, truth.end)).sum::<Duration>().as_secs(),
            wait_median_s: percentile(&waits, 50).as_secs(),
            wait_p95_s: percentile(&waits, 95).as_secs(),
            runners: truth.machines.len(),
            runners_most: machines_over_time.iter().copied().max().unwrap_or(0),
            runners_by_type,
            machines_over_time,
            events: truth.events.get(),
            explained: truth.explained.clone(),
            wall: Wall {
                elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                events_per_second: u64::try_from(speed).unwrap_or(u64::MAX),
            },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |secs| Span::from_secs(secs);
        writeln!(formatter, "jobs      {} of {} finished in {}", self.finished, self.jobs, span(self.virtual_s))?;
        if self.never_started > 0 {
            writeln!(formatter, "          {} never started: no rule has a machine for them", self.never_started)?;
        }
        let hours = self.machine_s / 360;
        writeln!(formatter, "cost      {}", exact(MicroUsd(self.cost_micro_usd)))?;
        writeln!(formatter, "machines  {}.{} hours", hours / 10, hours % 10)?;
        let (median, late) = (span(self.wait_median_s), span(self.wait_p95_s));
        writeln!(formatter, "waiting   {median} median, {late} 95th percentile")?;
        writeln!(formatter, "runners   {}, at most {} at once", self.runners, self.runners_most)?;
        for (kind, count) in &self.runners_by_type {
            writeln!(formatter, "          {count} {kind}")?;
        }
        writeln!(formatter, "events    {}, {} a second here", self.events, self.wall.events_per_second)?;
        chart(formatter, &self.machines_over_time, span(self.virtual_s))?;
        self.explained.iter().try_for_each(|told| write!(formatter, "\nafter {}: {}", span(told.at_s), told.why))
    }
}

/// How long each job that started had to wait for a runner, ascending.
fn waits(jobs: &[Job], truth: &Truth) -> Vec<Span> {
    let mut runs: BTreeMap<usize, (Boot, Option<Boot>)> = BTreeMap::new();
    for (place, ran) in &truth.ran {
        let run = runs.entry(*place).or_insert((ran.began, ran.until));
        *run = (run.0.min(ran.began), run.1.max(ran.until));
    }
    let wait = |(place, (began, _)): (&usize, &(Boot, Option<Boot>))| {
        let dependencies = jobs[*place].depends_on.iter().filter_map(|before| runs.get(before)?.1);
        began.since(dependencies.fold(truth.submitted[*place], Boot::max)).into()
    };
    let mut waits: Vec<Span> = runs.iter().map(wait).collect();
    waits.sort_unstable();
    waits
}

/// Dollars to the millionth.
fn exact(money: MicroUsd) -> String {
    format!("${}.{:06}", money.0 / 1_000_000, money.0 % 1_000_000)
}

/// Machines over time as columns of `#`.
fn chart(formatter: &mut fmt::Formatter<'_>, counts: &[u64], length: Span) -> fmt::Result {
    let most = counts.iter().copied().max().unwrap_or(0);
    writeln!(formatter, "\nmachines over time")?;
    for row in (1..=CHART_ROWS.min(most)).rev() {
        // The least number of machines that reaches this row.
        let height = (row * most).div_ceil(CHART_ROWS.min(most));
        let least = ((row - 1) * most) / CHART_ROWS.min(most) + 1;
        let columns: String = counts.iter().map(|count| if *count >= least { '#' } else { ' ' }).collect();
        writeln!(formatter, "{height:>6} |{}", columns.trim_end())?;
    }
    writeln!(formatter, "       +{}", "-".repeat(counts.len()))?;
    let end = length.to_string();
    writeln!(formatter, "        0{end:>width$}", width = counts.len().saturating_sub(1))
}

/// When the machine began to run, and when it stopped: what a cloud bills.
fn run_of(machine: &FakeMachine, end: Boot) -> Option<(Boot, Boot)> {
    let (began, _) = machine.history.iter().find(|(_, state)| *state == MachineState::Running)?;
    Some((*began, machine.ran_until().unwrap_or(end)))
}

fn ran_for(machine: &FakeMachine, end: Boot) -> Duration {
    run_of(machine, end).map_or(Duration::ZERO, |(began, until)| until.since(began))
}

fn cost(machines: &[FakeMachine], end: Boot) -> MicroUsd {
    let prices: BTreeMap<(String, Purchase), MicroUsd> = builtin_offerings()
        .into_iter()
        .filter_map(|offering| Some(((offering.instance_type, offering.purchase), offering.price?)))
        .collect();
    let cost = |machine: &FakeMachine| {
        let price = prices.get(&(machine.instance_type.clone(), machine.purchase)).copied().unwrap_or_default();
        price.per_hour_for(ran_for(machine, end).into()).0
    };
    MicroUsd(machines.iter().map(cost).sum())
}

/// The smallest value that at least that many per cent do not exceed; nothing where there are none.
fn percentile(sorted: &[Span], percent: usize) -> Span {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Most machines that ran at once in each of `columns` equally long stretches.
fn machines_over_time(machines: &[FakeMachine], end: Boot, columns: usize) -> Vec<u64> {
    let mut changes: Vec<(Boot, i64)> = machines
        .iter()
        .filter_map(|machine| run_of(machine, end))
        .flat_map(|(began, until)| [(began, 1), (until, -1)])
        .collect();
    // At the same moment ends come first.
    changes.sort_unstable();
    let total = end.0.as_micros().max(1);
    let column_of = |moment: Boot| {
        let column = moment.0.as_micros() * columns as u128 / total;
        usize::try_from(column).unwrap_or(columns).min(columns - 1)
    };
    let mut most = vec![0; columns];
    let (mut running, mut column) = (0, 0);
    for (moment, change) in changes {
        let reached = column_of(moment);
        // What ran when a stretch began counts for it.
        while column < reached {
            column += 1;
            most[column] = running;
        }
        running += change;
        most[column] = running.max(most[column]);
    }
    most.into_iter().map(|count| u64::try_from(count).unwrap_or(0)).collect()
}
