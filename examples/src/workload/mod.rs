//! Workloads: jobs from a file of the common form or made from a seed, and traces of when machines could be had.

mod traces;
#[expect(clippy::module_inception, reason = "its main thing is the workload")]
mod workload;

pub use traces::{ZoneChange, read_jobs, zone_changes};
pub use workload::{CsvError, Group, HEADER, Job, duration_of, generate, groups, read_csv, specs};
