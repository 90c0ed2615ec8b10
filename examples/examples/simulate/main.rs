//! What a workload would cost and how long it would wait: the real controller on a cloud in memory, in virtual time.
//!
//! `cargo run -p examples --example simulate -- --help` says what can be set. A year of machines takes minutes at most; the
//! same seed and arguments give the same answer.

mod allow;
mod bill;
mod bound;
mod catalogue;
mod compare;
mod decisions;
mod policies;
mod report;
mod simulation;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use dstack_core::clock::Boot;
use dstack_core::model::{Name, Span};

use allow::Allow;
use examples::workload;
use report::Report;
use serde::Serialize;
use simulation::{Setup, simulate};
use workload::Job;

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Runs a workload on a simulated cloud: what it costs, how long jobs wait, how many machines there are.
///
/// Jobs that depend on each other are submitted together, when the last of them is.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Args {
    /// CSV with the columns job_id,submit_s,duration_s,cpu_milli,memory_mib,gpu_count,gpu_name,depends_on; `-` reads standard
    /// input. Without it a workload is made from the seed
    workload: Option<PathBuf>,
    /// A rule, such as m7i.xlarge:spot:20; can be given more than once
    #[arg(long, value_name = "TYPE:PURCHASE:MAX", default_values = allow::DEFAULT)]
    allow: Vec<Allow>,
    /// Decides everything that is left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many jobs are made where no workload is given
    #[arg(long, default_value_t = 1_000, conflicts_with = "workload")]
    jobs: usize,
    /// Seconds after which a runner without work is stopped
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    idle: u64,
    /// Seconds between two looks at the cloud; more is faster where a workload lasts for months
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    look: u64,
    /// Compare the scheduler with simpler policies on the traces of this folder, instead of simulating one workload
    #[arg(long, value_name = "DIR", env = "DSTACK_TRACES", requires = "ec2", conflicts_with = "workload")]
    traces: Option<PathBuf>,
    /// Folder of real machine types and prices, for `--traces`
    #[arg(long, value_name = "DIR", env = "DSTACK_EC2")]
    ec2: Option<PathBuf>,
    /// Of the traces only those whose name holds this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// With `--traces`: which decision costs what, compared with the least that the workload can cost
    #[arg(long, requires = "traces")]
    decisions: bool,
    /// Why this job waits, each time that the answer changes
    #[arg(long, value_name = "NAME", conflicts_with = "traces")]
    explain: Option<Name>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Args {
    fn compare(&self, traces: &Path, ec2: &Path) -> Result<(), Box<dyn Error>> {
        for folder in [traces, ec2] {
            if !folder.is_dir() {
                return Err(format!(
                    "there is no folder {}: traces and prices are not part of this program",
                    folder.display()
                )
                .into());
            }
        }
        for trace in compare::TRACES.iter().filter(|trace| trace.file.contains(&self.only)) {
            if self.decisions {
                print(&decisions::decisions(traces, ec2, trace)?, self.json)?;
            } else {
                print(&compare::compare(traces, ec2, trace)?, self.json)?;
            }
        }
        Ok(())
    }

    fn jobs(&self) -> Result<Vec<Job>, Box<dyn Error>> {
        let Some(path) = &self.workload else { return Ok(workload::generate(self.seed, self.jobs)) };
        let mut text = String::new();
        let read = match path.to_str() {
            Some("-") => io::stdin().read_to_string(&mut text),
            Some(_) | None => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
        };
        read.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(workload::read_csv(&text).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    fn setup(&self, jobs: &[Job]) -> Result<Setup, Box<dyn Error>> {
        let explain = match &self.explain {
            Some(name) => {
                let place = jobs.iter().position(|job| job.name == *name);
                Some(place.ok_or_else(|| format!("the workload has no job {name}"))?)
            }
            None => None,
        };
        Ok(Setup {
            explain,
            seed: self.seed,
            allow: self.allow.clone(),
            idle_timeout: Span::from_secs(self.idle),
            look_period: Duration::from_secs(self.look.max(1)),
        })
    }

    fn report(&self) -> Result<Report, Box<dyn Error>> {
        let jobs = self.jobs()?;
        let (setup, begin) = (self.setup(&jobs)?, Instant::now());
        let mut progress = Progress::new(jobs.len());
        let truth = simulate(&setup, &jobs, |submitted, now| progress.show(submitted, now));
        progress.clear();
        Ok(Report::new(&setup, &jobs, &truth?, begin.elapsed()))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let printed = match (&args.traces, &args.ec2) {
        (Some(traces), Some(ec2)) => args.compare(traces, ec2),
        (_, _) => args.report().and_then(|report| print(&report, args.json)),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print<R: Serialize + Display>(report: &R, is_json: bool) -> Result<(), Box<dyn Error>> {
    let text = if is_json { serde_json::to_string_pretty(report)? + "\n" } else { report.to_string() };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// One line on standard error that is written over; none where no terminal is.
struct Progress {
    jobs: usize,
    is_shown: bool,
    last: Instant,
}

impl Progress {
    fn new(jobs: usize) -> Self {
        Self { jobs, is_shown: io::stderr().is_terminal(), last: Instant::now() }
    }

    fn show(&mut self, submitted: usize, now: Boot) {
        if self.is_shown && self.last.elapsed() >= PROGRESS_EVERY {
            self.last = Instant::now();
            eprint!("\r{submitted} of {} jobs submitted, {} simulated\x1b[K", self.jobs, Span::from(now.0));
        }
    }

    fn clear(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}
