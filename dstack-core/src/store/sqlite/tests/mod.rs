mod damage;
mod files;
mod journal;
mod laws;
mod processes;
mod waking;

use std::path::Path;
use std::sync::Arc;

use super::database::Database;
use crate::clock::VirtualClock;
use crate::model::event::{AutoscalingDisabled, AutoscalingEnabled, ClockStepped, RunSubmitted};
use crate::model::{AppendId, Batch, Event, RunId, Seq};

fn clock() -> Arc<VirtualClock> {
    Arc::new(VirtualClock::new(3))
}

fn open(folder: &Path) -> Database {
    Database::open(folder, clock()).expect("the log opens")
}

fn open_read_only(folder: &Path) -> Database {
    Database::open_read_only(folder, clock()).expect("the log opens").expect("there is a log")
}

fn batch(id: u128, events: &[Event]) -> Batch {
    Batch::new(AppendId::from_bytes(id.to_be_bytes()), events)
}

fn run(number: u64, name: &str) -> Event {
    let name = name.parse().expect("a valid name");
    RunSubmitted { run: RunId::from_bits(number), name, workflows: 1, folder: None, secrets: Vec::new() }.into()
}

/// Five records in two appends, of every sort that the file treats in its own way.
fn small_log(folder: &Path) -> Database {
    let mut database = open(folder);
    let first = [run(7, "train"), AutoscalingEnabled {}.into(), ClockStepped { offset_us: 12 }.into()];
    database.append(Seq::START, &batch(0x0123_4567_89ab_cdef << 64, &first)).expect("it is in order");
    let second = [AutoscalingDisabled {}.into(), AutoscalingEnabled {}.into()];
    database.append(Seq::new(3), &batch(0xfedc_ba98_7654_3210 << 64, &second)).expect("it is in order");
    database
}
