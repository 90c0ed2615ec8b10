//! The results page: what the checks of the promises said, from their own JSON.
//!
//! `cargo run --release -p examples --example results -- --torture t.json --planted p.json --crash-points c.json --model m.json`
//! prints `docs/results.md`. Each of these is what `--example torture`, `torture --planted all`, `crash_points` and
//! `model_check` print with `--json`; those that are left out are said not to have been run.

mod found;
mod page;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::SystemTime;

use clap::Parser;
use serde_json::Value;

/// Writes the results page from what the checks have printed.
#[derive(Debug, Parser)]
#[command(name = "results")]
struct Args {
    /// What `torture --json` printed; once for each campaign
    #[arg(long, value_name = "FILE")]
    torture: Vec<PathBuf>,
    /// What `torture --planted all --json` printed
    #[arg(long, value_name = "FILE")]
    planted: Option<PathBuf>,
    /// What `crash_points --json` printed; once for each run
    #[arg(long, value_name = "FILE")]
    crash_points: Vec<PathBuf>,
    /// What `model_check --json` printed
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

/// What the page is made of.
struct Results {
    date: String,
    commit: String,
    machine: String,
    torture: Vec<Value>,
    planted: Option<Value>,
    crash_points: Vec<Value>,
    model: Option<Value>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let read = |path: &PathBuf| -> Result<Value, Box<dyn Error>> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
    };
    let results = Results {
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        commit: commit()?,
        machine: machine(),
        torture: args.torture.iter().map(read).collect::<Result<_, _>>()?,
        planted: args.planted.as_ref().map(read).transpose()?,
        crash_points: args.crash_points.iter().map(read).collect::<Result<_, _>>()?,
        model: args.model.as_ref().map(read).transpose()?,
    };
    match io::stdout().write_all(page::of(&results).as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// The commit that is checked out, and whether anything differs from it.
fn commit() -> Result<String, Box<dyn Error>> {
    let git = Command::new("git").args(["describe", "--always", "--dirty"]).output()?;
    Ok(String::from_utf8(git.stdout)?.trim().to_owned())
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {threads} threads, {} {}", model.unwrap_or("unknown"), std::env::consts::OS, std::env::consts::ARCH)
}
