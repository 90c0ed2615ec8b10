//! Real traces, as files of the common form.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use dstack_core::model::Span;

use super::{Job, read_csv};

/// When a zone comes to have machines, or to have none.
pub type ZoneChange = (Span, String, bool);

/// The jobs of a file, packed or not, or of all files of a folder of graphs.
///
/// # Errors
/// When it is not there, or is not what it should be.
pub fn read_jobs(path: &Path) -> Result<Vec<Job>, Box<dyn Error>> {
    if path.is_dir() {
        return read_dags(path);
    }
    let text = if path.extension().is_some_and(|name| name == "gz") {
        let unpacked = Command::new("gzip").arg("-dc").arg(path).output()?;
        if !unpacked.status.success() {
            return Err(format!("{}: {}", path.display(), String::from_utf8_lossy(&unpacked.stderr)).into());
        }
        String::from_utf8(unpacked.stdout)?
    } else {
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?
    };
    Ok(read_csv(&text)?)
}

/// All of them one after the other, half an hour apart.
fn read_dags(folder: &Path) -> Result<Vec<Job>, Box<dyn Error>> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?.iter().map(std::fs::DirEntry::path).collect();
    files.sort();
    let mut all: Vec<Job> = Vec::new();
    for (number, path) in (0..).zip(files.iter().filter(|path| !path.ends_with("index.csv"))) {
        let first = all.len();
        let jobs = read_csv(&std::fs::read_to_string(path)?)?;
        all.extend(jobs.into_iter().map(|job| Job {
            submit: Span::from_mins(number * 30),
            depends_on: job.depends_on.iter().map(|before| before + first).collect(),
            ..job
        }));
    }
    Ok(all)
}

/// The changes of a record of availability, in order of time.
pub fn zone_changes(text: &str) -> Vec<ZoneChange> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [at, zone, _, available, ..] = fields[..] else { return None };
        Some((Span::from_secs(at.parse().ok()?), zone.to_owned(), available != "0"))
    };
    let mut changes: Vec<_> = text.lines().skip(1).filter_map(row).collect();
    changes.sort();
    changes
}
