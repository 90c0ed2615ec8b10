//! The processes of instances, found by the mark in their environment and by who started them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dstack_core::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};

/// The variable that every process of an instance has: its folder, which no instance of another sandbox shares, as it may
/// its id.
pub(super) const MARK: &str = "DSTACK_SANDBOX_FOLDER";

/// Most rounds of looking and killing: a process that starts others while it is killed is found in the next.
const ROUNDS_MOST: u32 = 200;

/// A process, told apart from a later one of its number by its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    pid: u32,
    started: u64,
}

/// What is known of an instance's processes from the outside.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    root: PathBuf,
    /// Those that may have lost their mark: its init, and its `sshd`, which renames itself.
    roots: BTreeSet<u32>,
}

impl Marked {
    /// Notes them. A number counts only if its process still serves from this folder.
    pub(super) fn of(init: Option<u32>, root: &Path) -> Self {
        let text = fs::read_to_string(root.join("sshd.pid")).ok();
        let sshd = text.and_then(|text| text.trim().parse().ok());
        let init = init.and_then(|pid| i32::try_from(pid).ok());
        Self {
            root: root.to_owned(),
            roots: [init, sshd]
                .into_iter()
                .flatten()
                .filter(|pid| serves(*pid, root))
                .filter_map(|pid| u32::try_from(pid).ok())
                .collect(),
        }
    }
}

/// Whether the process of this number serves from this folder: numbers are used again.
pub(super) fn serves(pid: i32, root: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    contains(&line, root.as_os_str().as_bytes())
}

/// Kills everything of these instances, and returns when nothing of it runs any more.
pub(super) async fn end(instances: &[Marked], clock: &dyn Clock) {
    let (mut known, mut was_quiet) = (BTreeSet::new(), false);
    for _ in 0..ROUNDS_MOST {
        let found = find(instances, &known);
        // Twice nothing: between two programs, a process shows neither the mark of the one nor the title of the other.
        if found.is_empty() && was_quiet {
            return;
        }
        was_quiet = found.is_empty();
        for process in &found {
            // One that is gone already is what we want.
            let _gone =
                i32::try_from(process.pid).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::KILL));
        }
        known.extend(found);
        clock.sleep_until(clock.boot().plus(Duration::from_millis(2))).await;
    }
}

/// The living processes of these instances: marked ones, and whatever those in `known` or the instances' own have started.
fn find(instances: &[Marked], known: &BTreeSet<Process>) -> BTreeSet<Process> {
    let mark = |one: &Marked| format!("{MARK}={}\0", one.root.display()).into_bytes();
    let marks: Vec<Vec<u8>> = instances.iter().map(mark).collect();
    let title = |one: &Marked| one.root.join("etc/sshd_config").into_os_string().into_encoded_bytes();
    let titles: Vec<Vec<u8>> = instances.iter().map(title).collect();
    let roots: BTreeSet<u32> = instances.iter().flat_map(|one| one.roots.iter().copied()).collect();
    let mut parents = BTreeMap::new();
    let mut found = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let Some((parent, process)) = living(pid) else { continue };
        parents.insert(process, parent);
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        // The title that sshd gives itself is written over its environment, and names its configuration.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_sshd = line.starts_with(b"sshd: ") && titles.iter().any(|title| contains(&line, title));
        let is_marked = is_sshd || marks.iter().any(|mark| contains(&environ, mark));
        if is_marked || roots.contains(&pid) && known.is_empty() || known.contains(&process) {
            found.insert(pid, process);
        }
    }
    loop {
        let is_more =
            |(process, parent): &(&Process, &u32)| found.contains_key(parent) && !found.contains_key(&process.pid);
        let more: Vec<Process> = parents.iter().filter(is_more).map(|(process, _)| *process).collect();
        if more.is_empty() {
            return found.into_values().collect();
        }
        found.extend(more.into_iter().map(|process| (process.pid, process)));
    }
}

/// A process that has not ended, and its parent.
fn living(pid: u32) -> Option<(u32, Process)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and can hold anything. The start is the 20th word behind it.
    let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(*words.first()?, "Z" | "X") {
        return None;
    }
    Some((words.get(1)?.parse().ok()?, Process { pid, started: words.get(19)?.parse().ok()? }))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
