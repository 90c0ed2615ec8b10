//! Why a command did not do what was asked, and the one mapping from that to an exit code.

use std::path::Path;

use dstack_core::ClientError;
use dstack_core::archive::ArchiveError;
use dstack_core::blob::BlobError;
use dstack_core::home::HomeError;
use dstack_core::project::ProjectError;
use dstack_core::secret::SecretError;
use dstack_core::store::{AppendError, StoreError};

/// Exit code of leaving an attached run that goes on.
pub(crate) const DETACHED: u8 = 130;

/// Why a command ends otherwise than with success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is refused or failed; the line says what to do next.
    #[error("{0}")]
    Refused(String),
    /// Everything was said already: only this exit code is left.
    #[error("exit code {0}")]
    Code(u8),
    /// Nobody reads the results any more: there is nobody to tell either.
    #[error("nobody reads the results")]
    PipeClosed,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Failure {
    /// The same, with the home's path where what is wrong with it does not name it.
    pub(crate) fn of_home(self, home: &Path) -> Self {
        let is_of_log = match &self {
            Self::Client(error) => !matches!(error, ClientError::Rejected(_)),
            Self::Store(_) | Self::Home(_) => true,
            Self::Usage(_)
            | Self::Refused(_)
            | Self::Code(_)
            | Self::PipeClosed
            | Self::Blob(_)
            | Self::Project(_)
            | Self::Archive(_)
            | Self::Secret(_)
            | Self::Io(_) => false,
        };
        match self.line().filter(|_| is_of_log) {
            Some(line) if !line.contains(&*home.to_string_lossy()) => {
                Self::Refused(format!("{}: {line}", home.join("log.db").display()))
            }
            Some(_) | None => self,
        }
    }

    /// The exit code; the only place where one is chosen.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::PipeClosed => 0,
            Self::Usage(_) => 2,
            Self::Code(code) => *code,
            Self::Refused(_)
            | Self::Client(_)
            | Self::Store(_)
            | Self::Home(_)
            | Self::Blob(_)
            | Self::Project(_)
            | Self::Archive(_)
            | Self::Secret(_)
            | Self::Io(_) => 1,
        }
    }

    /// What is said on standard error, if anything is left to say.
    pub(crate) fn line(&self) -> Option<String> {
        match self {
            Self::PipeClosed | Self::Code(_) => None,
            Self::Client(ClientError::Append(AppendError::Unknown(why))) => {
                Some(format!("whether it was recorded is not known ({why}): look with `dstack ps`, then try again"))
            }
            Self::Usage(_)
            | Self::Refused(_)
            | Self::Client(_)
            | Self::Store(_)
            | Self::Home(_)
            | Self::Blob(_)
            | Self::Project(_)
            | Self::Archive(_)
            | Self::Secret(_)
            | Self::Io(_) => Some(self.to_string()),
        }
    }
}

/// A refusal with this line.
pub(crate) fn refused(line: impl Into<String>) -> Failure {
    Failure::Refused(line.into())
}
