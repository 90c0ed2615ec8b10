//! Reference scenarios with faults at the boundaries of a controller's work: each alone, or two in one life.
//!
//! `cargo run --release -p examples --example crash_points -- --json` tells every story with every single fault;
//! with `--pairs` with two, the second at one of the boundaries that follow the first.

mod lives;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use dstack_core::testkit::scenario::{Fault, Story, stories, tell};
use serde::Serialize;

/// Tells reference scenarios with faults at the boundaries of a controller's work.
#[derive(Debug, Parser)]
#[command(name = "crash_points")]
struct Args {
    /// Only this kind of fault
    #[arg(long, value_enum)]
    fault: Option<Kind>,
    /// Only the story of this name
    #[arg(long, value_name = "NAME")]
    story: Option<String>,
    /// Two faults in each life: the second at one of this many boundaries that follow the first
    #[arg(long, value_name = "BOUNDARIES", num_args = 0..=1, default_missing_value = "3")]
    pairs: Option<usize>,
    /// Tell only every so manyth life
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Crash,
    Pause,
    LostReply,
    Conflict,
}

impl Kind {
    const fn of(fault: Fault) -> Self {
        match fault {
            Fault::Crash => Self::Crash,
            Fault::Pause => Self::Pause,
            Fault::LoseReply => Self::LostReply,
            Fault::Conflict => Self::Conflict,
        }
    }
}

/// A life that ended wrongly.
#[derive(Debug, Serialize)]
struct Wrong {
    story: &'static str,
    faults: BTreeMap<usize, String>,
    why: String,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    stories: usize,
    boundaries: usize,
    lives: BTreeMap<String, u64>,
    seconds: f64,
    wrong: Vec<Wrong>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let start = Instant::now();
    let wanted: Vec<&Story> =
        stories().filter(|story| args.story.as_deref().is_none_or(|it| it == story.name)).collect();
    if wanted.is_empty() {
        let names: Vec<_> = stories().map(|story| story.name).collect();
        return Err(format!("there is no such story; there are {}", names.join(", ")).into());
    }
    let mut report = Report::default();
    let mut number = 0;
    for story in wanted {
        let plain = tell(story, BTreeMap::new());
        report.stories += 1;
        report.boundaries += plain.points.len();
        if let Some(why) = plain.wrong {
            report.wrong.push(Wrong { story: story.name, faults: BTreeMap::new(), why });
            continue;
        }
        for faults in lives::of(story, &plain.points, args.pairs) {
            if args.fault.is_some_and(|kind| faults.values().any(|fault| Kind::of(*fault) != kind)) {
                continue;
            }
            number += 1;
            if number % args.every != 0 {
                continue;
            }
            let kinds: Vec<_> = faults.values().map(|fault| format!("{fault:?}")).collect();
            *report.lives.entry(kinds.join(" then ")).or_default() += 1;
            if let Some(why) = tell(story, faults.clone()).wrong {
                let faults = faults.iter().map(|(place, fault)| (*place, format!("{fault:?}"))).collect();
                report.wrong.push(Wrong { story: story.name, faults, why });
            }
        }
    }
    report.seconds = start.elapsed().as_secs_f64();
    print(&if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { text(&report) })?;
    Ok(report.wrong.is_empty())
}

fn text(report: &Report) -> String {
    let mut lines = vec![format!("{} stories, {} boundaries", report.stories, report.boundaries)];
    lines.extend(report.lives.iter().map(|(kinds, lives)| format!("{lives} lives with {kinds}")));
    lines.extend(report.wrong.iter().map(|wrong| format!("WRONG {} {:?}: {}", wrong.story, wrong.faults, wrong.why)));
    lines.push(format!("{} wrong, {:.1} s", report.wrong.len(), report.seconds));
    lines.join("\n") + "\n"
}

fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
