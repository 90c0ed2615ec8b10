//! Who a runner is: its host key, kept for `ssh` in a file of its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::keys::is_public_key;
use crate::host::HostError;
use crate::model::{Identity, RunnerId};

/// The name under which each runner's key stands in its file, whatever its address.
pub(super) const ALIAS: &str = "runner";

/// Tells files apart that this process writes at the same time.
static WRITTEN_SO_FAR: AtomicU64 = AtomicU64::new(0);

/// The file in which `ssh` finds, or notes, the key of one runner.
#[derive(Debug)]
pub(super) struct KnownHost {
    folder: PathBuf,
    name: String,
    /// It is of one connection alone, and goes with this value.
    is_of_connection: bool,
}

impl KnownHost {
    /// Of a runner that nothing is known of yet: what answers first is noted, for later connections too.
    pub(super) fn at_first_contact(keys: &Path, runner: RunnerId) -> Self {
        Self { folder: keys.to_owned(), name: format!("known/{runner}"), is_of_connection: false }
    }

    /// With a pinned key, which is the only one that is accepted.
    pub(super) fn pinned(keys: &Path, identity: &Identity) -> Result<Self, HostError> {
        if !is_public_key(&identity.0) {
            return Err(HostError::Refused(format!("{:?}, which is pinned for it, is no host key", identity.0)));
        }
        let number = WRITTEN_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let name = format!("scratch/{}-known-{number}", std::process::id());
        let known = Self { folder: keys.to_owned(), name, is_of_connection: true };
        known.write(&format!("{ALIAS} {}\n", identity.0)).map_err(|error| HostError::Refused(error.to_string()))?;
        Ok(known)
    }

    /// Removes what was noted at the first contact: the log has it.
    pub(super) fn forget(keys: &Path, runner: RunnerId) {
        // It is there once at most, and one that stays is of no use to anybody.
        let _ = fs::remove_file(Self::at_first_contact(keys, runner).path());
    }

    /// Its name below the keys' folder.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path())?;
        file.write_all(text.as_bytes())
    }

    /// The key that is noted, if there is one.
    pub(super) fn read(&self) -> Option<Identity> {
        let text = fs::read_to_string(self.path()).ok()?;
        let key = text.lines().find_map(|line| line.strip_prefix(ALIAS)?.strip_prefix(' '))?;
        is_public_key(key).then(|| Identity(key.to_owned()))
    }
}

impl Drop for KnownHost {
    fn drop(&mut self) {
        if self.is_of_connection {
            // One that stays goes when its process is gone.
            let _ = fs::remove_file(self.path());
        }
    }
}
