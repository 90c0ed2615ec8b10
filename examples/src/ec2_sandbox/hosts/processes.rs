//! The processes of instances, found by the mark in their environment and by who started them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use dstack_core::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};

/// The variable that every process of an instance has.
pub(super) const MARK: &str = "DSTACK_SANDBOX_INSTANCE";

/// Most rounds of looking and killing: a process that starts others while it is killed is found in the next.
const ROUNDS_MOST: u32 = 200;

/// What is known of an instance's processes from the outside.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    pub(super) id: String,
    /// The process that stands for its machine.
    pub(super) init: Option<u32>,
    /// Its `sshd`, which renames itself and so loses its mark.
    pub(super) sshd: Option<u32>,
}

impl Marked {
    /// Reads the number of its `sshd`, which counts only if that still serves from this folder.
    pub(super) fn of(id: &str, init: Option<u32>, root: &Path) -> Self {
        let text = fs::read_to_string(root.join("sshd.pid")).ok();
        let sshd = text.and_then(|text| text.trim().parse().ok()).filter(|pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&*root.to_string_lossy())
        });
        Self { id: id.to_owned(), init, sshd }
    }
}

/// Kills everything of these instances, and returns when nothing of it runs any more.
pub(super) async fn end(instances: &[Marked], clock: &dyn Clock) {
    let mut known = BTreeSet::new();
    for _ in 0..ROUNDS_MOST {
        let found = find(instances, &known);
        if found.is_empty() {
            return;
        }
        for pid in &found {
            // One that is gone already is what we want.
            let _gone = i32::try_from(*pid).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::KILL));
        }
        known.extend(found);
        clock.sleep_until(clock.boot().plus(Duration::from_millis(2))).await;
    }
}

/// The living processes of these instances: marked ones, and whatever those in `known` or the instances' own have started.
fn find(instances: &[Marked], known: &BTreeSet<u32>) -> BTreeSet<u32> {
    let marks: Vec<Vec<u8>> = instances.iter().map(|one| format!("{MARK}={}\0", one.id).into_bytes()).collect();
    let roots: BTreeSet<u32> = instances.iter().flat_map(|one| [one.init, one.sshd]).flatten().collect();
    let mut parents = BTreeMap::new();
    let mut found = BTreeSet::new();
    for pid in fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    {
        let pid: u32 = pid;
        let Some((parent, is_over)) = stat(pid) else { continue };
        if is_over {
            continue;
        }
        parents.insert(pid, parent);
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_marked = marks.iter().any(|mark| contains(&environ, mark));
        if is_marked || roots.contains(&pid) || known.contains(&pid) {
            found.insert(pid);
        }
    }
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// A process's parent, and whether it has ended and waits to be seen.
fn stat(pid: u32) -> Option<(u32, bool)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and can hold anything.
    let mut rest = text.rsplit_once(')')?.1.split_whitespace();
    let state = rest.next()?;
    Some((rest.next()?.parse().ok()?, matches!(state, "Z" | "X")))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
