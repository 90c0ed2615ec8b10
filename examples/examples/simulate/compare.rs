//! The scheduler against what people run instead, on real traces and real prices: cost, machine time and waiting.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;

use dstack_core::model::event::SettingsChanged;
use dstack_core::model::{
    At, MicroUsd, Needs, Offering, Purchase, RuleKey, Settings, Span, WorkflowId, WorkflowSpec, schedule,
};
use dstack_core::testkit::floor::{Delays, Floor, Planner};
use serde::Serialize;

use crate::bill::Bill;
use crate::bound::Division;
use crate::policies::{Policy, alone, first_fit, no_dearer};
use crate::workload::{Group, Job, ZoneChange, groups, read_jobs, zone_changes};
use crate::{bound, catalogue};

/// Most machines of one type.
const MAX: u32 = 5_000;

/// A workload of the traces, and the families of machines that it may use.
pub(crate) struct Trace {
    /// Its file, below the traces' folder.
    pub(crate) file: &'static str,
    families: &'static [&'static str],
    purchase: Purchase,
    /// When spot machines are there and when they are taken, if that is recorded for such machines.
    spot: Option<&'static str>,
    /// Only so many of its first jobs.
    first: usize,
    /// Jobs that are submitted before this second are left out.
    from_s: u64,
}

const CPU: &[&str] = &["c7i", "m7i", "r7i"];
const GPU: &[&str] = &["c7i", "m7i", "r7i", "g4dn", "g5", "p3", "p4d"];

/// The workloads of a comparison.
pub(crate) const TRACES: [Trace; 6] = [
    Trace::on_demand("workloads/nasa_ipsc_1993.csv", CPU),
    Trace::on_demand("workloads/lcg_grid_2005.csv.gz", CPU),
    Trace { from_s: 105 * 86_400, ..Trace::on_demand("workloads/alibaba_gpu_2023.csv", GPU) },
    Trace { first: 20_000, ..Trace::on_demand("workloads/philly_2017.csv.gz", GPU) },
    Trace {
        spot: Some("spot/sky_preemption_1node_2023-04-19.csv"),
        purchase: Purchase::Spot,
        ..Trace::on_demand("workloads/nasa_ipsc_1993.csv", CPU)
    },
    Trace::on_demand("dags", CPU),
];

impl Trace {
    const fn on_demand(file: &'static str, families: &'static [&'static str]) -> Self {
        Self { file, families, purchase: Purchase::OnDemand, spot: None, first: usize::MAX, from_s: 0 }
    }
}

/// What one policy made of a workload.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    policy: &'static str,
    finished: usize,
    cost_micro_usd: u64,
    machine_s: u64,
    wait_median_s: u64,
    wait_p95_s: u64,
    machines: usize,
    /// Hundredths of the bill: while machines boot, while they are empty, for room that is left beside what runs.
    boot_percent: u64,
    empty_percent: u64,
    unfilled_percent: u64,
    interrupted: usize,
}

/// What all of them made of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Comparison {
    trace: String,
    jobs: usize,
    unfit: usize,
    least_cost_micro_usd: u64,
    critical_path_s: u64,
    rows: Vec<Row>,
}

/// A workload with all that it runs on.
pub(crate) struct Setting {
    /// Of the trace.
    pub(crate) name: String,
    jobs: Vec<Job>,
    unfit: usize,
    offerings: Vec<Offering>,
    purchase: Purchase,
    zones: Vec<ZoneChange>,
}

impl Setting {
    /// Reads a trace, with the machines that it may use.
    ///
    /// # Errors
    /// When a file is not there, or is not what it should be.
    pub(crate) fn read(traces: &Path, ec2: &Path, trace: &Trace) -> Result<Self, Box<dyn Error>> {
        let offerings = catalogue::read(ec2, traces, trace.families, trace.purchase)?;
        let mut jobs = jobs_of(traces, trace)?;
        let before = jobs.len();
        if jobs.iter().all(|job| job.depends_on.is_empty()) {
            jobs.retain(|job| offerings.iter().any(|offering| job.needs.fit(offering)));
        }
        let zones = match trace.spot {
            Some(file) => zone_changes(&std::fs::read_to_string(traces.join(file))?),
            None => Vec::new(),
        };
        let name = format!("{} {}", trace.file, trace.purchase);
        Ok(Self { name, unfit: before - jobs.len(), jobs, offerings, purchase: trace.purchase, zones })
    }

    /// These jobs on these machines.
    #[cfg(test)]
    pub(crate) fn of(jobs: Vec<Job>, offerings: Vec<Offering>, purchase: Purchase) -> Self {
        Self { name: String::new(), unfit: 0, jobs, offerings, purchase, zones: Vec::new() }
    }

    /// What it costs at least, and the division of prices that shows it.
    pub(crate) fn least_cost(&self) -> (u64, Division) {
        bound::least_cost(self.jobs.iter().map(|job| (&job.needs, job.duration)), &self.offerings)
    }

    /// What a policy that needs no pool makes of it.
    pub(crate) fn run(&self, policy: Policy) -> Done {
        run(policy, self, &BTreeMap::new())
    }
}

/// Runs a workload under every policy.
///
/// # Errors
/// When a file is not there, or is not what it should be.
pub(crate) fn compare(traces: &Path, ec2: &Path, trace: &Trace) -> Result<Comparison, Box<dyn Error>> {
    let setting = Setting::read(traces, ec2, trace)?;
    let (least_cost_micro_usd, division) = setting.least_cost();
    let mut rows = Vec::new();
    let mut pools = BTreeMap::new();
    for policy in Policy::ALL {
        if trace.spot.is_some() && matches!(policy, Policy::PoolMean | Policy::PoolPeak | Policy::FirstFit) {
            continue;
        }
        let done = run(policy, &setting, &pools);
        if policy == Policy::Dstack {
            pools = pools_of(&done);
        }
        rows.push(row(policy, &done, division));
    }
    Ok(Comparison {
        jobs: setting.jobs.len(),
        unfit: setting.unfit,
        least_cost_micro_usd,
        critical_path_s: critical_path(&setting.jobs).as_secs(),
        trace: setting.name,
        rows,
    })
}

/// The jobs of the trace, in the part of it that is used.
fn jobs_of(traces: &Path, trace: &Trace) -> Result<Vec<Job>, Box<dyn Error>> {
    let mut jobs = read_jobs(&traces.join(trace.file))?;
    jobs.retain(|job| job.submit.as_secs() >= trace.from_s);
    jobs.truncate(trace.first);
    let first = jobs.first().map(|job| job.submit.as_secs()).unwrap_or(0);
    for job in &mut jobs {
        job.submit = Span::from_secs(job.submit.as_secs() - first);
    }
    Ok(jobs)
}

/// What was done, and for whom.
pub(crate) struct Done {
    /// Where.
    pub(crate) floor: Floor,
    /// What each workflow really needs.
    pub(crate) needs: BTreeMap<WorkflowId, Needs>,
    /// The rules' offerings.
    pub(crate) offerings: BTreeMap<RuleKey, Offering>,
    /// When nothing was left to do.
    pub(crate) end: At,
}

/// How long each start of a workflow had to wait for a runner, in seconds, ascending.
pub(crate) struct Waits(Vec<u64>);

impl Waits {
    /// All of them.
    pub(crate) fn of(done: &Done) -> Self {
        let mut waits: Vec<u64> = done.floor.starts().iter().map(|start| start.at.since(start.due).as_secs()).collect();
        waits.sort_unstable();
        Self(waits)
    }

    /// The smallest that at least that many per cent do not exceed; nothing where there are none.
    pub(crate) fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(0)
    }
}

fn run(policy: Policy, setting: &Setting, pools: &BTreeMap<RuleKey, (u32, u32)>) -> Done {
    let Setting { jobs, offerings, purchase, zones, .. } = setting;
    let mut floor = Floor::new(Delays::default());
    for offering in offerings {
        let pool = pools.get(&offering.rule_key()).copied();
        let (max, min) = match policy {
            Policy::PoolMean => pool.map_or((0, 0), |(mean, _)| (mean, mean)),
            Policy::PoolPeak => pool.map_or((0, 0), |(_, peak)| (peak, peak)),
            Policy::Dstack
            | Policy::DstackEager
            | Policy::NoDearer
            | Policy::NoDearerEager
            | Policy::OneEach
            | Policy::FirstFit => (MAX, 0),
        };
        floor.allow(offering.clone(), max, min);
    }
    if matches!(policy, Policy::DstackEager | Policy::NoDearerEager | Policy::OneEach) {
        floor.add(SettingsChanged { settings: Settings { idle_timeout: Span::ZERO, ..Settings::default() } });
    }
    floor.add(SettingsChanged { settings: Settings { max_interruptions: 1_000, ..floor.state().settings().clone() } });
    let mut planner = |state: &_, tick: &_| match policy {
        Policy::FirstFit => first_fit(state, tick),
        Policy::NoDearer | Policy::NoDearerEager => no_dearer(state, tick),
        Policy::Dstack | Policy::DstackEager | Policy::OneEach | Policy::PoolMean | Policy::PoolPeak => {
            schedule(state, tick)
        }
    };
    let mut needs = BTreeMap::new();
    let mut changes = zones.iter().peekable();
    for group in groups(jobs) {
        while let Some((at, zone, has)) = changes.next_if(|(at, ..)| *at <= group.submit) {
            floor.run_until(At::default().plus(*at), &mut planner);
            floor.zone_has(zone, *has);
            floor.decide(&mut planner);
        }
        floor.run_until(At::default().plus(group.submit), &mut planner);
        let (specs, of) = specs(policy, jobs, &group, offerings, *purchase);
        let run = floor.submit(specs);
        needs.extend((0..).zip(of).map(|(index, needs)| (WorkflowId { run, index }, needs)));
        floor.decide(&mut planner);
    }
    for (_, zone, _) in zones {
        floor.zone_has(zone, true);
    }
    finish(&mut floor, &mut planner);
    let end = floor.now();
    let offerings = offerings.iter().map(|offering| (offering.rule_key(), offering.clone())).collect();
    Done { floor, needs, offerings, end }
}

/// Until nothing waits or runs; machines of a pool are then given back, others when they were idle for long enough.
fn finish(floor: &mut Floor, planner: &mut dyn Planner) {
    floor.decide(planner);
    while floor.state().open_runs().next().is_some() {
        let Some(next) = floor.next() else { break };
        floor.run_until(next, planner);
    }
    if floor.state().rules().values().all(|rule| rule.min == 0) {
        floor.run_out(planner);
    }
}

/// The group's workflows, and what each really needs.
fn specs(
    policy: Policy,
    jobs: &[Job],
    group: &Group,
    offerings: &[Offering],
    purchase: Purchase,
) -> (Vec<(WorkflowSpec, Span)>, Vec<Needs>) {
    let spec = |place: &usize| {
        let job = &jobs[*place];
        let mut spec = WorkflowSpec::script(job.name.clone(), [""; 0]);
        spec.needs = match policy {
            Policy::OneEach => alone(&job.needs, offerings, purchase),
            Policy::Dstack
            | Policy::DstackEager
            | Policy::NoDearer
            | Policy::NoDearerEager
            | Policy::PoolMean
            | Policy::PoolPeak
            | Policy::FirstFit => job.needs.clone(),
        };
        let index = |before: &usize| group.jobs.binary_search(before).ok().and_then(|index| u32::try_from(index).ok());
        spec.depends_on = job.depends_on.iter().filter_map(index).collect();
        (spec, job.duration)
    };
    let needs = group.jobs.iter().map(|place| jobs[*place].needs.clone()).collect();
    (group.jobs.iter().map(spec).collect(), needs)
}

/// How many machines of each type there were, on average while anything ran (at least one) and at most.
fn pools_of(done: &Done) -> BTreeMap<RuleKey, (u32, u32)> {
    let mut spans: BTreeMap<RuleKey, Vec<(At, i64)>> = BTreeMap::new();
    for rented in done.floor.rented().values() {
        let changes = spans.entry(rented.rule.clone()).or_default();
        changes.extend([(rented.from, 1), (rented.until.unwrap_or(done.end), -1)]);
    }
    let whole = done.end.since(At::default()).as_secs().max(1);
    let pool = |(rule, mut changes): (RuleKey, Vec<(At, i64)>)| {
        changes.sort_unstable();
        let (mut now, mut most, mut area, mut last) = (0_i64, 0, 0_i64, At::default());
        for (at, change) in changes {
            area += now * i64::try_from(at.since(last).as_secs()).unwrap_or(0);
            (now, last) = (now + change, at);
            most = most.max(now);
        }
        let mean = u64::try_from(area).unwrap_or(0).div_ceil(whole).max(1);
        (rule, (u32::try_from(mean).unwrap_or(MAX), u32::try_from(most).unwrap_or(MAX)))
    };
    spans.into_iter().map(pool).collect()
}

fn row(policy: Policy, done: &Done, division: Division) -> Row {
    let (bill, waits) = (Bill::of(done, division), Waits::of(done));
    let starts = done.floor.starts();
    let percent = |part: u64| part * 100 / bill.all.max(1);
    Row {
        policy: policy.name(),
        finished: starts.iter().filter(|start| start.is_done).count(),
        cost_micro_usd: bill.all,
        machine_s: bill.secs,
        wait_median_s: waits.percentile(50),
        wait_p95_s: waits.percentile(95),
        machines: done.floor.rented().len(),
        boot_percent: percent(bill.boot),
        empty_percent: percent(bill.empty),
        unfilled_percent: percent(bill.unfilled),
        interrupted: starts.iter().filter(|start| !start.is_done).count(),
    }
}

/// The longest chain of jobs that depend on each other.
fn critical_path(jobs: &[Job]) -> Span {
    let mut ends: Vec<u64> = Vec::with_capacity(jobs.len());
    for job in jobs {
        let before = job.depends_on.iter().filter_map(|before| ends.get(*before)).max().copied().unwrap_or(0);
        ends.push(before + job.duration.as_secs());
    }
    Span::from_secs(ends.into_iter().max().unwrap_or(0))
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.least_cost_micro_usd;
        writeln!(formatter, "{}: {} jobs, {} fit no machine", self.trace, self.jobs, self.unfit)?;
        writeln!(formatter, "least cost {}, critical path {}", MicroUsd(least), Span::from_secs(self.critical_path_s))?;
        writeln!(
            formatter,
            "{:<18}{:>12}{:>8}{:>12}{:>9}{:>9}{:>9}  boot empty unfilled  taken",
            "", "cost", "/least", "machine h", "machines", "wait 50", "wait 95"
        )?;
        for row in &self.rows {
            let ratio = row.cost_micro_usd.saturating_mul(100) / least.max(1);
            writeln!(
                formatter,
                "{:<18}{:>12}{:>5}.{:02}{:>12}{:>9}{:>8}s{:>8}s{:>5}%{:>5}%{:>8}%{:>7}",
                row.policy,
                MicroUsd(row.cost_micro_usd).to_string(),
                ratio / 100,
                ratio % 100,
                row.machine_s / 3_600,
                row.machines,
                row.wait_median_s,
                row.wait_p95_s,
                row.boot_percent,
                row.empty_percent,
                row.unfilled_percent,
                row.interrupted,
            )?;
        }
        Ok(())
    }
}
