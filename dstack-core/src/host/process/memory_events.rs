//! Whether the system has killed something here for want of memory.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The counter of such kills in this process's control group. Best effort: without one, it never rises.
pub(crate) struct MemoryEvents(Option<File>);

impl MemoryEvents {
    /// That of the group in which this process is: of the unified hierarchy, else of the memory controller's own.
    pub(crate) fn open() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let file = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, group) = rest.split_once(':')?;
            let (base, name) = match controllers {
                "" => ("/sys/fs/cgroup", "memory.events"),
                _ if controllers.split(',').any(|controller| controller == "memory") => {
                    ("/sys/fs/cgroup/memory", "memory.oom_control")
                }
                _ => return None,
            };
            let base = Path::new(base);
            // In a container the group's path may be the host's; its own group is then what is mounted.
            File::open(base.join(group.trim_start_matches('/')).join(name))
                .or_else(|_| File::open(base.join(name)))
                .ok()
        });
        Self(file)
    }

    /// How often it has happened.
    pub(crate) fn kills(&self) -> u64 {
        let mut text = [0; 1024];
        let length = self.0.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        count(&text[..length])
    }
}

fn count(text: &[u8]) -> u64 {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_counters_are_read() {
        assert_eq!(count(b"low 0\nhigh 0\nmax 4\noom 2\noom_kill 3\noom_group_kill 1\n"), 3);
        assert_eq!(count(b"oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), 7);
        assert_eq!(count(b""), 0);
    }
}
