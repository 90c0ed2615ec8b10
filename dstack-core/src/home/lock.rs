//! The file lock that says that a controller is live.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Held by a controller for as long as it lives; the system gives it back when its process ends, however it ends.
///
/// It saves work only: that two controllers never do harm to each other is the claim protocol's business.
#[derive(Debug)]
pub struct ControllerLock {
    _file: File,
}

impl ControllerLock {
    /// Takes the lock in this file; nothing when somebody holds it.
    pub(super) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether somebody holds the lock in this file. Nothing is taken for it, not even for a moment: a controller that
    /// found the lock taken by one who only asks would leave. Nothing where the system does not tell.
    pub(super) fn is_held(path: &Path) -> Option<bool> {
        let number = match fs::metadata(path) {
            Ok(facts) => facts.ino(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(false),
            Err(_) => return None,
        };
        let locks = fs::read_to_string("/proc/locks").ok()?;
        Some(locks.lines().any(|line| is_lock_of(line, number)))
    }
}

/// Whether a line of `/proc/locks` (`1: FLOCK  ADVISORY  WRITE 42 08:01:1234 0 EOF`) is of the file of this number. Which
/// device the system calls it is not what a file says of itself on every file system, so that is not compared.
fn is_lock_of(line: &str, number: u64) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let is_whole = words.next() == Some("FLOCK");
    let file = words.nth(3).and_then(|file| file.rsplit(':').next()?.parse().ok());
    is_whole && file == Some(number)
}
