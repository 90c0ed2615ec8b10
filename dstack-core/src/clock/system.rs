//! The clock and the entropy of this machine.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, clock_gettime};

use super::{Boot, Clock};

/// Longest uninterrupted sleep. The timer below does not count suspension: a machine that wakes up is late by this at most.
const NAP_MAX: Duration = Duration::from_secs(15);

/// The clock and the entropy of this machine. Its `sleep_until` needs a tokio runtime with time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
    fn wall_micros(&self) -> i64 {
        let micros = |length: Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(before) => -micros(before.duration()),
        }
    }

    fn boot(&self) -> Boot {
        let now = clock_gettime(boot_clock());
        Boot(Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    #[expect(clippy::disallowed_methods, reason = "this is where time comes in")]
    async fn sleep_until(&self, moment: Boot) {
        loop {
            let left = moment.since(self.boot());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(NAP_MAX)).await;
        }
    }

    fn entropy(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let mut filled = 0;
        while filled < bytes.len() {
            match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(error) => assert_eq!(error, rustix::io::Errno::INTR, "the kernel gives entropy to everyone"),
            }
        }
        bytes
    }
}

#[cfg(target_os = "linux")]
const fn boot_clock() -> ClockId {
    ClockId::Boottime
}

/// Where there is no clock that counts suspension, the monotonic one.
#[cfg(not(target_os = "linux"))]
const fn boot_clock() -> ClockId {
    ClockId::Monotonic
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::SystemClock;

    crate::clock_laws!(Arc::new(SystemClock));
}
