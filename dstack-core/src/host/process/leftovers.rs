//! Ends what a runner or an attempt left running.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::folder::{AttemptFolder, RunnerFolder};
use super::identity::{Identity, Stat, all_pids, boot_id, open_if};

/// Environment variable by which the processes of an attempt are found: its folder's path.
pub(crate) const MARKER: &str = "DSTACK_ATTEMPT_FOLDER";

/// Looks for what is left, at most that often; each time everything found is killed.
const MAX_ROUNDS: usize = 100;
/// How long a killed process may take to end before the next look.
const KILL_WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Kills every process of a dead runner: those of its supervisor's session, and those that carry its marker.
///
/// # Errors
/// When something is left that cannot be ended, or it cannot be told.
pub(crate) fn kill_leftovers(folder: &RunnerFolder) -> io::Result<()> {
    let identity =
        Identity::read(&folder.identity())?.filter(|identity| boot_id().is_ok_and(|id| id == identity.boot_id));
    let attempts = fs::canonicalize(folder.path())?.join("attempts/");
    kill_all(|pid, stat| is_in_session(identity.as_ref(), stat) || carries(pid, &attempts, false))
}

/// Kills every process that carries the marker of this attempt, wherever it went.
pub(crate) fn kill_marked(attempt: &AttemptFolder) -> io::Result<()> {
    kill_all(|pid, _| carries(pid, attempt.work(), true))
}

/// The processes of a group that still run.
pub(crate) fn group_members(group: i32) -> io::Result<Vec<OwnedFd>> {
    let mut members = Vec::new();
    for pid in all_pids()? {
        members.extend(open_if(pid, |stat| stat.group == group)?);
    }
    Ok(members)
}

/// The number of a session is not given to another process while anything is left in it. If a process of that number
/// lives and is not the one of old, nothing was left, and the session is somebody else's.
fn is_in_session(identity: Option<&Identity>, stat: &Stat) -> bool {
    identity.is_some_and(|identity| {
        let leader = Stat::of(identity.pid).ok().flatten();
        stat.session == identity.pid && leader.is_none_or(|leader| leader.start_ticks == identity.start_ticks)
    })
}

/// Whether the process was started with the marker of this path, or of one below it. What may not be read is not ours.
fn carries(pid: i32, path: &Path, is_whole: bool) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    environment.split(|byte| *byte == 0).any(|entry| {
        let value = entry.strip_prefix(MARKER.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        value
            .and_then(|value| value.strip_prefix(path.as_os_str().as_bytes()))
            .is_some_and(|rest| if is_whole { rest.is_empty() } else { !rest.is_empty() })
    })
}

fn kill_all(is_ours: impl Fn(i32, &Stat) -> bool) -> io::Result<()> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    for _ in 0..MAX_ROUNDS {
        let mut found = Vec::new();
        for pid in all_pids()?.filter(|pid| *pid != own) {
            found.extend(open_if(pid, |stat| is_ours(pid, stat))?);
        }
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            match pidfd_send_signal(process, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for process in &found {
            poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&KILL_WAIT))?;
        }
    }
    Err(io::Error::other("some of its processes cannot be ended"))
}
