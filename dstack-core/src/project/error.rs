//! What is wrong with a project, and where.

use std::fmt;
use std::io;
use std::sync::Arc;

/// A place in one of the project's files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as messages name it: `.dstack/workflows.yaml`.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    /// An error at this place.
    pub(super) fn error(&self, message: impl Into<String>) -> ProjectError {
        ProjectError::At { place: self.clone(), message: message.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Why a project cannot be run. One line that says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// Something at this place of a file is wrong.
    #[error("{place}: {message}")]
    At {
        /// Where.
        place: Place,
        /// What, and what to write instead.
        message: String,
    },
    /// What the caller asked for does not fit the files.
    #[error("{0}")]
    Asked(String),
    /// A file or folder cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which one.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The project's files are too many to send.
    #[error("{0}")]
    TooLarge(String),
}

impl ProjectError {
    pub(super) fn io(path: impl fmt::Display, source: io::Error) -> Self {
        Self::Io { path: path.to_string(), source }
    }
}
