//! What becomes of a commit.

use crate::model::AppendId;

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommitFate {
    /// It is in the log, and that is said.
    Done,
    /// It is in the log, and that is not known: its acknowledgement is lost.
    InDoubt,
    /// It is not in the log, and that is not known.
    Lost,
}

/// Chooses what becomes of a commit, given the ids of its appends.
pub(super) type Choice = Box<dyn FnMut(&[AppendId]) -> CommitFate + Send>;
