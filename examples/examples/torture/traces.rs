//! Real workloads in the simulator: faults and recorded interruptions go on until all of the work is done.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use dstack_core::cloud::builtin_offerings;
use dstack_core::model::{Purchase, Span};
use dstack_core::testkit::torture::{SwarmRule, Trace, Traced, run_trace, trace_options};
use examples::workload::{Job, groups, read_jobs, specs, zone_changes};
use serde::Serialize;

/// A workload's file, the second from which on it is used, and how many jobs of it are.
const WORKLOADS: [(&str, u64, usize); 5] = [
    ("workloads/alibaba_gpu_2023.csv", 105 * 86_400, 200),
    ("workloads/nasa_ipsc_1993.csv", 0, 300),
    ("workloads/philly_2017.csv.gz", 0, 150),
    ("workloads/lcg_grid_2005.csv.gz", 0, 300),
    ("dags", 0, 600),
];

/// Records of when spot machines were taken, used one after the other.
const INTERRUPTIONS: [&str; 2] =
    ["spot/sky_preemption_1node_2023-04-19.csv", "spot/sky_preemption_1node_2023-04-22.csv"];

/// Rules that hold most jobs, all of them spot.
const RULES: [(&str, u32); 5] =
    [("m7i.xlarge", 30), ("c7i.4xlarge", 30), ("r7i.2xlarge", 30), ("g4dn.xlarge", 20), ("p4d.24xlarge", 20)];

/// Jobs that run longer are left out: while they run, a simulation looks at the cloud all the time.
const LONGEST: Span = Span::from_mins(3 * 24 * 60);

/// Work that waits for nothing but its rules is done within this time after the last submission.
const BOUND: Duration = Duration::from_secs(400 * 86_400);

/// What came of one workload.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    trace: &'static str,
    jobs: u64,
    unfit: usize,
    succeeded: u64,
    caps_held: bool,
    interrupted: u64,
    machines: usize,
    faults: u64,
    steps: u64,
    virtual_days: u64,
    violation: Option<String>,
}

impl Row {
    /// Whether the caps were held and all of the work is done.
    pub(crate) const fn is_good(&self) -> bool {
        self.caps_held && self.violation.is_none() && self.jobs == self.succeeded
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {} of {} jobs done ({} fit no rule), caps {}, {} machines of which {} taken back, {} faults, {} days",
            self.trace,
            self.succeeded,
            self.jobs,
            self.unfit,
            if self.caps_held { "held" } else { "BROKEN" },
            self.machines,
            self.interrupted,
            self.faults,
            self.virtual_days,
        )?;
        self.violation.iter().try_for_each(|why| write!(formatter, "; {why}"))
    }
}

/// Runs all workloads of a folder of traces, and shows what came of each.
///
/// # Errors
/// When a file is not there, or is not what it should be.
pub(crate) fn run(
    folder: &Path,
    seed: u64,
    mut show: impl FnMut(&Row) -> std::io::Result<()>,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut interruptions = Vec::new();
    for file in INTERRUPTIONS {
        let text = std::fs::read_to_string(folder.join(file))?;
        interruptions.extend(zone_changes(&text).into_iter().filter(|(.., is_there)| !is_there).map(|(at, ..)| at));
    }
    interruptions.sort();
    let mut rows = Vec::new();
    for workload in &WORKLOADS {
        let row = row(folder, workload, &interruptions, seed)?;
        show(&row)?;
        rows.push(row);
    }
    Ok(rows)
}

fn row(
    folder: &Path,
    (file, from_s, most): &(&'static str, u64, usize),
    interruptions: &[Span],
    seed: u64,
) -> Result<Row, Box<dyn Error>> {
    let mut jobs = read_jobs(&folder.join(file))?;
    jobs.retain(|job| job.submit.as_secs() >= *from_s && job.duration <= LONGEST);
    jobs.truncate(*most);
    let before = jobs.len();
    // What others depend on stays.
    if jobs.iter().all(|job| job.depends_on.is_empty()) {
        jobs.retain(fits);
    }
    let first = jobs.first().map_or(0, |job| job.submit.as_secs());
    for job in &mut jobs {
        job.submit = Span::from_secs(job.submit.as_secs() - first);
    }
    let runs = groups(&jobs).iter().map(|group| (group.submit, specs(&jobs, group))).collect();
    let rules = RULES.map(|(name, max)| SwarmRule { instance_type: name.to_owned(), purchase: Purchase::Spot, max });
    let trace = Trace { runs, rules: rules.to_vec(), interruptions: interruptions.to_vec() };
    let done = run_trace(&trace, &trace_options(seed, 2, &trace), BOUND);
    Ok(Row {
        trace: file,
        jobs: done.workflows,
        unfit: before - jobs.len(),
        succeeded: done.succeeded,
        caps_held: holds_caps(&done),
        interrupted: done.interrupted,
        machines: done.machines,
        faults: done.faults.values().sum(),
        steps: done.steps,
        virtual_days: done.virtual_secs / 86_400,
        violation: done.violation.map(|it| format!("{} is broken: {}", it.property, it.why)),
    })
}

fn fits(job: &Job) -> bool {
    let is_ruled = |name: &str| RULES.iter().any(|(rule, _)| *rule == name);
    let spot = |offering: &&dstack_core::model::Offering| offering.purchase == Purchase::Spot;
    let offerings = builtin_offerings();
    offerings.iter().filter(spot).any(|offering| is_ruled(&offering.instance_type) && job.needs.fit(offering))
}

fn holds_caps(done: &Traced) -> bool {
    done.most.iter().all(|((name, _), most)| {
        let max = RULES.iter().find(|(rule, _)| rule == name).map_or(0, |(_, max)| *max);
        *most <= usize::try_from(max).unwrap_or(usize::MAX)
    })
}
