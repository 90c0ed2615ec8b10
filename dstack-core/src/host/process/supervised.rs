//! One attempt from the moment at which it is begun to its exit record.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::folder::AttemptFolder;
use super::leftovers::{group_members, kill_marked};
use super::memory_events::MemoryEvents;
use super::output_watch::register;
use super::program;
use crate::host::{Closing, Job};
use crate::model::attempt::{STOPPED_CODE, TIMEOUT_CODE};
use crate::model::{Exit, ExitCause};

/// How long a job that ran longer than it may has to end by itself.
const TIMEOUT_GRACE: Duration = Duration::from_secs(10);
/// Longer than any machine stays up: for limits that do not fit into the clock.
const FAR_AWAY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// An attempt that is begun: its command is started by [`run`](Self::run) and by nothing else.
pub(crate) struct Supervised {
    pub(crate) folder: AttemptFolder,
    pub(crate) job: Job,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) output: File,
    pub(crate) orders: watch::Receiver<Option<Closing>>,
}

/// Why the command was ended, if not by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    ByItself,
    Timeout,
    Stopped,
    Lost,
}

impl Supervised {
    /// Runs the command to its end, and ends what it left behind. Without an exit the attempt is lost.
    pub(crate) async fn run(mut self, base: &[(OsString, OsString)], memory: &MemoryEvents) -> Option<Exit> {
        match *self.orders.borrow_and_update() {
            Some(Closing::Lost) => return None,
            Some(Closing::Stop { .. }) => return Some(Exit { code: STOPPED_CODE, cause: ExitCause::Stopped }),
            None => {}
        }
        let kills_before = memory.kills();
        let mut child = match program::spawn(&self.folder, &self.job, &self.secrets, base, &self.output) {
            Ok(child) => child,
            Err(exit) => return Some(exit),
        };
        self.secrets.clear();
        let group = Pid::from_child(&child);
        let ended = match open(&child) {
            Ok(leader) => {
                Following::new(group, self.job.timeout.map(|limit| limit.to_std()), self.orders).follow(&leader).await
            }
            // Without a handle its end would go unnoticed: it is given up.
            Err(_) => Ended::Lost,
        };
        // The leader is not reaped yet, so its number still names this group and no other.
        let _ = kill_process_group(group, Signal::KILL);
        let status = child.wait().ok()?;
        match ended {
            Ended::ByItself => Some(exit_of(status, || memory.kills() > kills_before)),
            Ended::Timeout | Ended::Stopped | Ended::Lost => {
                // Those that left the group are still to be ended; where that cannot be shown, so is the attempt.
                kill_marked(&self.folder).ok()?;
                match ended {
                    Ended::Timeout => Some(Exit { code: TIMEOUT_CODE, cause: ExitCause::Timeout }),
                    Ended::Stopped => Some(Exit { code: STOPPED_CODE, cause: ExitCause::Stopped }),
                    Ended::Lost | Ended::ByItself => None,
                }
            }
        }
    }
}

fn open(child: &Child) -> io::Result<AsyncFd<OwnedFd>> {
    register(pidfd_open(Pid::from_child(child), PidfdFlags::NONBLOCK)?)
}

fn exit_of(status: ExitStatus, is_out_of_memory: impl FnOnce() -> bool) -> Exit {
    let signal = status.signal().and_then(|signal| u8::try_from(signal).ok());
    match (signal, status.code().and_then(|code| u8::try_from(code).ok())) {
        (Some(9), _) if is_out_of_memory() => Exit { cause: ExitCause::OutOfMemory, ..Exit::signal(9) },
        (Some(signal), _) => Exit::signal(signal),
        (None, Some(code)) => Exit::exited(code),
        (None, None) => Exit::exited(u8::MAX),
    }
}

/// Follows a command, its orders and its limits.
struct Following {
    group: Pid,
    orders: watch::Receiver<Option<Closing>>,
    ended: Ended,
    /// When its time is over.
    time_over: Option<Instant>,
    /// When whoever was asked to end is killed.
    kill_at: Option<Instant>,
    is_killed: bool,
}

impl Following {
    fn new(group: Pid, limit: Option<Duration>, orders: watch::Receiver<Option<Closing>>) -> Self {
        let time_over = limit.map(in_future);
        Self { group, orders, ended: Ended::ByItself, time_over, kill_at: None, is_killed: false }
    }

    /// Returns when the leader has ended, and, if the group was asked to end, when all of it has or its grace is over.
    #[expect(
        clippy::disallowed_methods,
        reason = "the supervisor is a process of its own and keeps the timeouts of its attempts"
    )]
    async fn follow(mut self, leader: &AsyncFd<OwnedFd>) -> Ended {
        let mut awaited: Option<AsyncFd<OwnedFd>> = None;
        loop {
            let deadline = [self.time_over, self.kill_at].into_iter().flatten().min();
            tokio::select! {
                biased;
                Ok(()) = self.orders.changed() => self.obey(),
                () = end_of(awaited.as_ref().unwrap_or(leader)) => match self.next_member() {
                    Some(member) => awaited = Some(member),
                    None => return self.ended,
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.come_due(),
            }
        }
    }

    /// Another process of the group that may use what is left of its grace.
    fn next_member(&self) -> Option<AsyncFd<OwnedFd>> {
        if self.ended == Ended::ByItself || self.is_killed {
            return None;
        }
        let members = group_members(self.group.as_raw_nonzero().get()).ok()?;
        register(members.into_iter().next()?).ok()
    }

    fn obey(&mut self) {
        let order = *self.orders.borrow_and_update();
        match order {
            Some(Closing::Lost) => {
                self.ended = Ended::Lost;
                self.kill();
            }
            Some(Closing::Stop { grace }) => self.ask(Ended::Stopped, grace.to_std()),
            None => {}
        }
    }

    fn come_due(&mut self) {
        match self.kill_at {
            None => self.ask(Ended::Timeout, TIMEOUT_GRACE),
            Some(_) => self.kill(),
        }
    }

    /// Asks the group to end. Of two reasons the first stays, of two moments the earlier.
    fn ask(&mut self, reason: Ended, grace: Duration) {
        if self.ended == Ended::ByItself {
            self.ended = reason;
        }
        if !self.is_killed {
            let moment = in_future(grace);
            self.kill_at = Some(self.kill_at.map_or(moment, |before| before.min(moment)));
            self.time_over = None;
            let _ = kill_process_group(self.group, Signal::TERM);
        }
    }

    fn kill(&mut self) {
        self.is_killed = true;
        self.kill_at = None;
        self.time_over = None;
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

/// Returns when the process of this handle has ended.
async fn end_of(process: &AsyncFd<OwnedFd>) {
    // An error says that the event loop ends, and this future with it.
    let _ = process.readable().await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "the supervisor is a process of its own and keeps the timeouts of its attempts"
)]
fn in_future(length: Duration) -> Instant {
    Instant::now() + length.min(FAR_AWAY)
}
