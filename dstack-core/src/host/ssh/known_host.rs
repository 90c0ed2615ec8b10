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
#[derive(Debug, Clone)]
pub(super) struct KnownHost {
    folder: PathBuf,
    name: String,
}

impl KnownHost {
    pub(super) fn new(keys: &Path, runner: RunnerId) -> Self {
        Self { folder: keys.to_owned(), name: format!("known/{runner}") }
    }

    /// Its name below the keys' folder.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the pinned key the only one that is accepted.
    pub(super) fn pin(&self, identity: &Identity) -> Result<(), HostError> {
        if !is_public_key(&identity.0) {
            return Err(HostError::Refused(format!("{:?}, which is pinned for it, is no host key", identity.0)));
        }
        if self.read().as_ref() == Some(identity) {
            return Ok(());
        }
        self.write(&format!("{ALIAS} {}\n", identity.0)).map_err(|error| HostError::Refused(error.to_string()))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let number = WRITTEN_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let beside = self.folder.join(format!("scratch/{}-known-{number}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, self.folder.join(&self.name))
    }

    /// The key that is noted, if there is one.
    pub(super) fn read(&self) -> Option<Identity> {
        let text = fs::read_to_string(self.folder.join(&self.name)).ok()?;
        let key = text.lines().find_map(|line| line.strip_prefix(ALIAS)?.strip_prefix(' '))?;
        is_public_key(key).then(|| Identity(key.to_owned()))
    }
}
