//! Where a simulator takes hold of a fake's calls.

use async_trait::async_trait;

/// Which side of its effect a call has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// It is sent, and has done nothing yet. Dropped here, it never happened.
    BeforeEffect,
    /// It has happened, and its caller does not know. Dropped here, its answer is lost.
    BeforeReply,
}

/// A call of a fake port that waits to go on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatePoint {
    /// Name of the port's method.
    pub call: &'static str,
    /// What it is about: a token, a scope, machines, an attempt.
    pub subject: String,
    /// How far it is.
    pub moment: Moment,
}

/// Lets calls of the fakes go on, in the order that it likes.
///
/// Every call passes twice: before its effect, and before its reply. Effect and reply are whole in themselves, so that
/// these two points are all the interleavings that there are.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Returns when the call may go on.
    async fn pass(&self, point: GatePoint);
}

/// The gate that is always open.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWait;

#[async_trait]
impl Gate for NoWait {
    async fn pass(&self, _point: GatePoint) {}
}
