//! Permission to send a launch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Boot;

/// Permission to send a launch: it ends at a moment, or when whoever gave it takes it back. Clones are one permission.
#[derive(Debug, Clone)]
pub struct SendPermit {
    ends: Boot,
    is_withdrawn: Arc<AtomicBool>,
}

impl SendPermit {
    /// Until this moment.
    pub fn until(ends: Boot) -> Self {
        Self { ends, is_withdrawn: Arc::default() }
    }

    /// For ever.
    pub fn unbounded() -> Self {
        Self::until(Boot(std::time::Duration::MAX))
    }

    /// When it ends at the latest.
    pub const fn ends(&self) -> Boot {
        self.ends
    }

    /// What was not sent by now never is.
    pub fn withdraw(&self) {
        self.is_withdrawn.store(true, Ordering::Release);
    }

    /// Whether the launch may be sent now.
    pub fn holds(&self, now: Boot) -> bool {
        now < self.ends && !self.is_withdrawn.load(Ordering::Acquire)
    }
}
