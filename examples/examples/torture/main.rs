//! Real controllers in a world where everything goes wrong, schedule after schedule, all of it from one seed.
//!
//! `cargo run --release -p examples --example torture -- --schedules 3000 --seed 1 --json` prints what was done and seen. A
//! schedule that breaks a property is printed with its options, smaller ones that break it too, and the command that
//! repeats it.

#[cfg(feature = "planted")]
mod planted;
mod traces;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use dstack_core::testkit::torture::{self, Options, Report, Swarm};
use serde::Serialize;

/// Tries the controller in a simulated world full of faults.
#[derive(Debug, Parser)]
#[command(name = "torture")]
struct Args {
    /// How many schedules are run; 3000 or more fail unless they have seen everything
    #[arg(long, default_value_t = 1_000)]
    schedules: u64,
    /// What all schedules follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on after a schedule that breaks a property
    #[arg(long)]
    keep_going: bool,
    /// Do not look for smaller options
    #[arg(long)]
    no_shrink: bool,
    /// Run the one schedule with these options
    #[arg(long, value_name = "JSON", conflicts_with_all = ["schedules", "seed"])]
    replay: Option<String>,
    /// Run the real workloads of this folder instead, with recorded interruptions and faults on
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    traces: Option<PathBuf>,
    /// Print only how often each property had something to check after each fault, as a table
    #[arg(long, conflicts_with_all = ["json", "replay", "traces"])]
    matrix: bool,
    /// Plant this bug instead, or `all` of them one after another, and say whether the simulator finds it
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "BUG", conflicts_with_all = ["schedules", "replay", "traces", "matrix"])]
    planted: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(feature = "planted")]
    if let Some(name) = &args.planted {
        return ended(planted::run(name, args.seed, args.json));
    }
    let done = match (&args.replay, &args.traces) {
        (Some(options), _) => replay(options),
        (None, Some(folder)) => trace(&args, folder),
        (None, None) => run(&args),
    };
    ended(done)
}

fn ended(done: Result<bool, Box<dyn Error>>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let options =
        Options { schedules: args.schedules, seed: args.seed, keep_going: args.keep_going, shrinks: !args.no_shrink };
    let start = Instant::now();
    let report = torture::campaign(&options);
    let seconds = start.elapsed().as_secs_f64();
    print(&if args.matrix { table(&report) } else { text(&report, seconds, args.json)? })?;
    Ok(!report.has_failed())
}

/// A report, and how long it took.
#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    seconds: f64,
}

fn text(report: &Report, seconds: f64, is_json: bool) -> Result<String, Box<dyn Error>> {
    Ok(if is_json { serde_json::to_string_pretty(&Timed { report, seconds })? + "\n" } else { report.to_string() })
}

/// A line for each fault, a column for each property.
fn table(report: &Report) -> String {
    let properties: Vec<&str> = report.properties.keys().map(String::as_str).collect();
    let mut lines = vec![format!("fault\t{}", properties.join("\t"))];
    for (fault, row) in &report.matrix {
        let counts: Vec<String> =
            properties.iter().map(|name| row.get(*name).copied().unwrap_or(0).to_string()).collect();
        lines.push(format!("{fault}\t{}", counts.join("\t")));
    }
    lines.join("\n") + "\n"
}

fn trace(args: &Args, folder: &std::path::Path) -> Result<bool, Box<dyn Error>> {
    let show = |row: &traces::Row| if args.json { Ok(()) } else { print(&format!("{row}\n")) };
    let rows = traces::run(folder, args.seed, show)?;
    if args.json {
        print(&(serde_json::to_string_pretty(&rows)? + "\n"))?;
    }
    Ok(rows.iter().all(traces::Row::is_good))
}

fn replay(options: &str) -> Result<bool, Box<dyn Error>> {
    let swarm: Swarm = serde_json::from_str(options)?;
    let outcome = torture::run(&swarm);
    match &outcome.violation {
        Some(broken) => print(&format!("{} is broken after {} steps: {}\n", broken.property, broken.step, broken.why))?,
        None => print(&format!("nothing is broken in {} steps\n", outcome.steps))?,
    }
    Ok(outcome.violation.is_none())
}

fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
