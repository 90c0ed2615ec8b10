//! Time and entropy come in through here, and nowhere else.

#[cfg(any(test, feature = "testkit"))]
pub mod laws;
#[cfg(feature = "system")]
mod system;
#[cfg(any(test, feature = "testkit"))]
mod virtual_clock;

use std::time::Duration;

use async_trait::async_trait;

#[cfg(feature = "system")]
pub use system::SystemClock;
#[cfg(any(test, feature = "testkit"))]
pub use virtual_clock::VirtualClock;

/// Time since some fixed moment of this machine's life, counting the time it was suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Boot(pub Duration);

impl Boot {
    /// That much later.
    #[must_use]
    pub const fn plus(self, length: Duration) -> Self {
        Self(self.0.saturating_add(length))
    }

    /// How long after `earlier` this is; nothing when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The port to time and entropy.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01 UTC as this machine believes it; may jump.
    fn wall_micros(&self) -> i64;

    /// Monotonic time that counts suspension.
    fn boot(&self) -> Boot;

    /// Returns at that moment or later. Dropping it costs nothing.
    async fn sleep_until(&self, moment: Boot);

    /// Sixteen bytes that nobody can foretell.
    fn entropy(&self) -> [u8; 16];
}
