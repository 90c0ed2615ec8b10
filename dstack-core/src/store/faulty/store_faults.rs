//! What goes wrong with a log by chance.

use crate::model::Span;

/// Faults by chance. Every rate is per mille of calls, or of what its name says. All are 0 by default; they compose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFaults {
    /// Commits that are in the log, and whose acknowledgement is lost.
    pub ack_lost: u16,
    /// Commits that are not in the log, and whose caller cannot know that.
    pub append_lost: u16,
    /// Calls that do not reach the log.
    pub unreachable: u16,
    /// Calls with which the log is busy for everybody, for up to [`busy_most`](Self::busy_most).
    pub busy: u16,
    /// Appends for which there is no room on the disk.
    pub full: u16,
    /// Calls that find the log's file read-only.
    pub unusable: u16,
    /// Reads that find a record that was changed.
    pub corrupt: u16,
    /// Views of the log as it was some records ago, but never older than what its caller has seen.
    pub stale: u16,
    /// Appends that take up to [`slow_most`](Self::slow_most).
    pub slow: u16,
    /// Waits that return though the log has not grown.
    pub wait_early: u16,
    /// Longest time the log is busy.
    pub busy_most: Span,
    /// Longest time an append takes.
    pub slow_most: Span,
}

impl Default for StoreFaults {
    fn default() -> Self {
        Self::everything(0)
    }
}

impl StoreFaults {
    /// Everything goes wrong at this rate.
    pub const fn everything(per_mille: u16) -> Self {
        Self {
            ack_lost: per_mille,
            append_lost: per_mille,
            unreachable: per_mille,
            busy: per_mille,
            full: per_mille,
            unusable: per_mille,
            corrupt: per_mille,
            stale: per_mille,
            slow: per_mille,
            wait_early: per_mille,
            busy_most: Span::from_secs(20),
            slow_most: Span::from_secs(90),
        }
    }
}
