//! Model check of the claim protocol: every order in which a few controllers, the cloud and its faults can act, with the
//! shipping functions deciding. `cargo run --release -p examples --example model_check -- --json` takes half an hour.

mod act;
mod cloud;
mod digest;
mod model;
mod process;
mod reached;
mod report;
mod setup;
mod setups;
#[cfg(test)]
mod tests;
mod world;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use report::{Report, check};

/// Checks the claim protocol in every order of events.
///
/// Exit code 1 when a configuration breaks a law or was not run to its end, or one that must fail does not.
#[derive(Debug, Parser)]
#[command(name = "model_check")]
struct Args {
    /// One JSON document on standard output, instead of lines for people
    #[arg(long)]
    json: bool,
    /// The configurations that CI has time for
    #[arg(long)]
    small: bool,
    /// Only configurations whose name holds this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Threads of the search
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Checks what was asked for; says whether all is as it must be.
fn run(args: &Args) -> io::Result<bool> {
    let mut setups = setups::planted();
    setups.extend(setups::small());
    if !args.small {
        setups.extend(setups::large());
    }
    if let Some(text) = &args.only {
        setups.retain(|setup| setup.name.contains(text.as_str()));
    }
    let mut report = Report::default();
    for setup in setups {
        let name = setup.name;
        let progress = |states| {
            // Nobody needs it: where it cannot be written it is left out.
            let _ = writeln!(io::stderr(), "{name}: {states} states so far");
        };
        let checked = check(setup, args.threads, progress);
        writeln!(io::stderr(), "{checked}")?;
        report.configurations.push(checked);
    }
    let is_right = report.is_right(args.only.is_none());
    let mut out = io::stdout().lock();
    if args.json {
        for name in report.unreached() {
            writeln!(io::stderr(), "not met: {name}")?;
        }
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(is_right)
}
