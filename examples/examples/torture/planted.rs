//! Planted bugs, each hunted by a campaign of its own.

use std::error::Error;
use std::time::Instant;

use dstack_core::planted::Bug;
use dstack_core::testkit::torture::{Hunt, hunt};
use serde::Serialize;

/// What became of a planted bug.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    hunt: Hunt,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Rows {
    planted: Vec<Row>,
}

/// Hunts the bug of this name, or all; says whether each was found.
pub(crate) fn run(name: &str, seed: u64, is_json: bool) -> Result<bool, Box<dyn Error>> {
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| name == "all" || bug.name() == name).collect();
    if bugs.is_empty() {
        let names: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        return Err(format!("there is no bug {name}; there are {}", names.join(", ")).into());
    }
    // What a planted bug panics with is its finding, and is told as that.
    std::panic::set_hook(Box::new(|_| {}));
    let mut planted = Vec::new();
    for bug in bugs {
        let start = Instant::now();
        let hunt = hunt(bug, seed);
        let row = Row { hunt, seconds: start.elapsed().as_secs_f64() };
        let Hunt { name, found, by, why, schedules, .. } = &row.hunt;
        if !is_json {
            let by = if *found { by.as_str() } else { "NOT FOUND" };
            super::print(&format!("{name}\t{by}\t{schedules} schedules\t{:.1} s\t{why}\n", row.seconds))?;
        }
        planted.push(row);
    }
    let is_good = planted.iter().all(|row| row.hunt.found);
    if is_json {
        super::print(&(serde_json::to_string_pretty(&Rows { planted })? + "\n"))?;
    }
    Ok(is_good)
}
