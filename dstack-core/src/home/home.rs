//! The folder and what is in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{ControllerLock, LogFile};
use crate::Client;
use crate::blob::{BlobFolder, OutputFolder};
use crate::clock::{Clock, SystemClock};
use crate::cloud::LocalCloud;
use crate::controller::{Options, Ports, Provider};
use crate::host::ProcessHost;
#[cfg(feature = "ssh")]
use crate::host::ssh::{SshHost, SshKeyError, SshKeys};
#[cfg(feature = "ssh")]
use crate::model::LogId;
use crate::secret::SecretFile;
use crate::store::sqlite::{LOG_FILE, SqliteStore, Waking};
use crate::store::{MemoryStore, StoreError};

/// How often a command that waits looks for new records.
const POLL_EVERY: Duration = Duration::from_millis(5);
/// Largest controller log; one older one of the same size may stand beside it.
const LOG_BYTES_MAX: u64 = 1024 * 1024;
/// Local runners that are started at the same time.
const LOCAL_LAUNCHES_AT_ONCE: u32 = 16;
/// The first wait before a call that failed is made again: what is on this machine answers soon.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
/// What only its owner may read, write and enter.
const PRIVATE: u32 = 0o700;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// The file system refuses.
    #[error("{path}: {source}; `--home DIR` or DSTACK_HOME names another folder")]
    Io {
        /// Which file or folder.
        path: String,
        /// What it says.
        source: io::Error,
    },
    /// Others may read or change what is in it.
    #[error("{0} can be changed by others: `chmod 700 {0}`, or set DSTACK_HOME to a folder of your own")]
    Shared(String),
    /// The log in it cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no key to log in to runners with.
    #[cfg(feature = "ssh")]
    #[error(transparent)]
    SshKey(#[from] SshKeyError),
}

/// The folder that `DSTACK_HOME` names: everything dstack keeps on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The home in this folder, which need not be there yet: only what writes makes it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder, if it is not there, for its owner alone.
    ///
    /// # Errors
    /// When it cannot be made, or others may change what is in it.
    pub fn create(&self) -> Result<(), HomeError> {
        let failed = |source| self.failed(&self.path, source);
        DirBuilder::new().recursive(true).mode(PRIVATE).create(&self.path).map_err(failed)?;
        let mode = std::fs::metadata(&self.path).map_err(failed)?.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(HomeError::Shared(self.path.display().to_string()));
        }
        Ok(())
    }

    /// A view of the log that can append to it, for a command. The folder and the log are made if they are not there.
    ///
    /// # Errors
    /// When the folder or the log in it cannot be used.
    pub fn client(&self) -> Result<Client, HomeError> {
        self.writer(Waking::SocketOfCommand)
    }

    /// A view of the log for a controller: it is woken by whoever appends. Reading and appending block the caller's thread
    /// for about as long as the disk takes.
    ///
    /// # Errors
    /// As [`Home::client`].
    pub fn controller_client(&self) -> Result<Client, HomeError> {
        self.writer(Waking::Socket)
    }

    fn writer(&self, waking: Waking) -> Result<Client, HomeError> {
        self.create()?;
        let store = SqliteStore::open_inline(&self.path, clock(), waking)?;
        Ok(Client::new(Arc::new(store), clock()))
    }

    /// A view of the log for reading only. Where there is none it reads an empty one; no file is made either way.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub fn reader(&self) -> Result<Client, HomeError> {
        Ok(match self.store_for_reading()? {
            Some(store) => Client::new(Arc::new(store), clock()),
            None => Client::new(Arc::new(MemoryStore::new(clock())), clock()),
        })
    }

    /// The log's file, for reading only; nothing where there is none.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub fn store_for_reading(&self) -> Result<Option<SqliteStore>, HomeError> {
        Ok(SqliteStore::open_read_only(&self.path, clock(), Waking::Poll(POLL_EVERY))?)
    }

    /// Where the log's file is, if there is one.
    pub fn log_path(&self) -> PathBuf {
        self.path.join(LOG_FILE)
    }

    /// Packed folders and artifacts.
    pub fn blobs(&self) -> BlobFolder {
        BlobFolder::new(self.path.join("blobs"))
    }

    /// What attempts printed.
    pub fn outputs(&self) -> OutputFolder {
        OutputFolder::new(self.path.join("output"))
    }

    /// Values that workflows get.
    pub fn secrets(&self) -> SecretFile {
        SecretFile::for_workflows(self.path.join("secrets"))
    }

    /// Runners on this machine, in a folder of this home. `supervisor` is the program, with the arguments that stand before
    /// a runner's folder, that calls [`supervise`](crate::host::process::supervise) with that folder.
    pub fn local_provider(&self, supervisor: Vec<OsString>) -> Provider {
        let root = self.path.join("runners");
        Provider {
            cloud: Arc::new(LocalCloud::new(root.clone(), supervisor)),
            host: Arc::new(ProcessHost::new(root)),
            launches_at_once: LOCAL_LAUNCHES_AT_ONCE,
        }
    }

    /// Where the key of this log's controllers is, with what `ssh` needs beside it.
    #[cfg(feature = "ssh")]
    pub fn ssh_folder(&self, log: LogId) -> PathBuf {
        self.path.join("ssh").join(log.to_string())
    }

    /// Runners that are reached over SSH with this log's key, which is made if it is not there. Making it takes a program's
    /// run, so this is for once, not for each call.
    ///
    /// # Errors
    /// When the folder cannot be used, others can read the key, or it cannot be made.
    #[cfg(feature = "ssh")]
    pub fn ssh_host(&self, log: LogId) -> Result<SshHost, HomeError> {
        self.create()?;
        Ok(SshHost::new(SshKeys::open(&self.ssh_folder(log))?))
    }

    /// Everything that a controller of this home calls: these providers, and what is kept in the folder.
    pub fn ports(&self, providers: BTreeMap<String, Provider>) -> Ports {
        Ports {
            providers,
            blobs: Arc::new(self.blobs()),
            outputs: Arc::new(self.outputs()),
            secrets: Arc::new(self.secrets()),
        }
    }

    /// How a controller that holds this home's lock works: as the only one, it takes over at once what another left.
    pub fn options(&self) -> Options {
        Options { patience: Duration::ZERO, backoff: FIRST_BACKOFF, ..Options::default() }
    }

    /// Takes the lock that a live controller holds; nothing when one is live.
    ///
    /// # Errors
    /// When the folder or the lock's file cannot be made.
    pub fn try_lock(&self) -> Result<Option<ControllerLock>, HomeError> {
        self.create()?;
        let path = self.path.join("controller.lock");
        ControllerLock::try_take(&path).map_err(|source| self.failed(&path, source))
    }

    /// Whether a controller is live, as far as the system tells. It makes no file and takes no lock.
    pub fn is_controller_live(&self) -> Option<bool> {
        ControllerLock::is_held(&self.path.join("controller.lock"))
    }

    /// Takes away what crashes and ended runners have left, once nobody can need it: for who holds the lock.
    ///
    /// # Errors
    /// When something in the folder cannot be read or removed.
    pub fn tidy(&self) -> Result<(), HomeError> {
        super::tidy::tidy(&self.path, clock().wall_micros()).map_err(|source| self.failed(&self.path, source))
    }

    /// Where the log of background controllers is.
    pub fn controller_log_path(&self) -> PathBuf {
        self.path.join("controller.log")
    }

    /// The log of background controllers, for appending to it. It has a bound.
    ///
    /// # Errors
    /// When the folder or the file cannot be made.
    pub fn controller_log(&self) -> Result<LogFile, HomeError> {
        self.create()?;
        let path = self.controller_log_path();
        LogFile::open(&path, LOG_BYTES_MAX).map_err(|source| self.failed(&path, source))
    }

    fn failed(&self, path: &Path, source: io::Error) -> HomeError {
        HomeError::Io { path: path.display().to_string(), source }
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
