//! Whose turn it is to write: SQLite's own lock goes to whoever asks first after a release, which starves the others.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::store::StoreError;

/// The lock's file in the log's folder.
const FILE: &str = "log.turn";
/// How long the turn is waited for.
const TURN_MAX: Duration = Duration::from_millis(50);
/// Shortest pause between two tries.
const PAUSE_MIN: Duration = Duration::from_micros(40);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// A queue for the write lock that is one place long. Who holds the turn is the only one that waits for the write lock,
/// so who has just written cannot overtake it: two writers alternate, and neither starves.
///
/// An append that came too late keeps the turn for a moment: by the time it is tried again, whoever won would otherwise
/// have moved the log's end once more, and so for ever.
pub(super) struct TurnLock {
    file: File,
    held: Cell<bool>,
}

impl TurnLock {
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let file = options.open(folder.join(FILE)).map_err(|error| StoreError::Unreachable(Box::new(error)))?;
        Ok(Self { file, held: Cell::new(false) })
    }

    /// Waits for the turn, but not for ever: the process that has it may be stopped, or may have lost its interest. Then it
    /// goes without: the turn is for fairness only. Nothing to do when it was kept.
    pub(super) fn take(&self) -> Result<(), StoreError> {
        if self.held.get() {
            return Ok(());
        }
        let mut pause = Pause::new();
        loop {
            match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    self.held.set(true);
                    return Ok(());
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) if pause.sleep(TURN_MAX) => {}
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(()),
                Err(error) => return Err(StoreError::Unreachable(Box::new(error))),
            }
        }
    }

    /// Gives the turn up, if it is held.
    pub(super) fn release(&self) {
        if self.held.replace(false) {
            // A lock that cannot be given up goes with the file.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }

    /// Whether the turn is held.
    pub(super) const fn is_held(&self) -> bool {
        self.held.get()
    }
}

/// Growing pauses with jitter, and their sum.
pub(super) struct Pause {
    next: Duration,
    slept: Duration,
}

impl Pause {
    pub(super) const fn new() -> Self {
        Self { next: PAUSE_MIN, slept: Duration::ZERO }
    }

    /// Sleeps a little longer than the last time; says no once `most` has been slept in all.
    #[expect(clippy::disallowed_methods, reason = "the log's thread waits for its turn: it has no runtime")]
    pub(super) fn sleep(&mut self, most: Duration) -> bool {
        if self.slept >= most {
            return false;
        }
        let length = self.next + self.next * (jitter() % 64) / 64;
        std::thread::sleep(length);
        self.slept += length;
        self.next = (self.next * 5 / 4).min(PAUSE_MAX);
        true
    }
}

/// A number that differs from call to call and from process to process: enough to keep two waiters out of step.
fn jitter() -> u32 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed) ^ (u64::from(std::process::id()) << 20);
    u32::try_from(call.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).unwrap_or(0)
}
