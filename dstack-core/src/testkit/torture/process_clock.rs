//! The clock of one process: its machine's, which may run a little fast or slow, and whose wall time may be anything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Boot, Clock, VirtualClock};
use crate::cloud::Draw;

/// A million, as parts.
const MILLION: i128 = 1_000_000;

struct Own {
    draw: Draw,
    /// Added to the wall clock, in microseconds.
    skew_us: i64,
    /// The wall clock stands still here.
    frozen_us: Option<i64>,
    /// Entropy that comes again.
    repeats: Vec<[u8; 16]>,
    repeat_rate: u16,
    repeated: u64,
}

/// The clock of one process.
pub(super) struct ProcessClock {
    base: Arc<VirtualClock>,
    /// Boot time that this machine had when the world began.
    offset: Duration,
    /// How much faster it runs, in parts of a million.
    drift_ppm: i32,
    own: Mutex<Own>,
}

impl ProcessClock {
    pub(super) fn new(base: Arc<VirtualClock>, seed: u64, drift_ppm: i32, repeat_rate: u16) -> Self {
        let mut draw = Draw::new(seed);
        let offset = Duration::from_micros(draw.below(10_000_000_000));
        let own = Own { draw, skew_us: 0, frozen_us: None, repeats: Vec::new(), repeat_rate, repeated: 0 };
        Self { base, offset, drift_ppm, own: Mutex::new(own) }
    }

    fn lock(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wall clock jumps by so many microseconds, and stays there.
    pub(super) fn shift_wall(&self, by_us: i64) {
        let mut own = self.lock();
        own.skew_us = own.skew_us.saturating_add(by_us);
    }

    /// The wall clock stands still.
    pub(super) fn freeze_wall(&self) {
        self.lock().frozen_us = Some(self.base.wall_micros());
    }

    /// The wall clock is right again.
    pub(super) fn set_right(&self) {
        let mut own = self.lock();
        (own.skew_us, own.frozen_us, own.repeat_rate) = (0, None, 0);
    }

    /// An id was made of these eight bytes: they may come again.
    pub(super) fn may_repeat(&self, bits: u64) {
        let mut own = self.lock();
        if own.repeat_rate > 0 {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&bits.to_be_bytes());
            own.repeats.push(bytes);
        }
    }

    /// How often entropy came again.
    pub(super) fn repeated(&self) -> u64 {
        self.lock().repeated
    }

    fn local(&self, global: Duration) -> Duration {
        let nanos = i128::try_from(global.as_nanos()).unwrap_or(i128::MAX / MILLION);
        let drifted = nanos + nanos * i128::from(self.drift_ppm) / MILLION;
        self.offset + Duration::from_nanos(u64::try_from(drifted).unwrap_or(u64::MAX))
    }

    /// The first moment of the world, or one shortly before it, at which this clock shows `local`.
    fn global(&self, local: Duration) -> Duration {
        let nanos = i128::try_from(local.saturating_sub(self.offset).as_nanos()).unwrap_or(i128::MAX / MILLION);
        let world = nanos * MILLION / (MILLION + i128::from(self.drift_ppm));
        Duration::from_nanos(u64::try_from(world).unwrap_or(u64::MAX))
    }
}

#[async_trait]
impl Clock for ProcessClock {
    fn wall_micros(&self) -> i64 {
        let own = self.lock();
        own.frozen_us.unwrap_or_else(|| self.base.wall_micros()).saturating_add(own.skew_us)
    }

    fn boot(&self) -> Boot {
        Boot(self.local(self.base.boot().0))
    }

    async fn sleep_until(&self, moment: Boot) {
        let mut target = self.global(moment.0);
        while self.boot() < moment {
            self.base.sleep_until(Boot(target)).await;
            target += Duration::from_nanos(1_000);
        }
    }

    fn entropy(&self) -> [u8; 16] {
        let mut own = self.lock();
        let (rate, known) = (own.repeat_rate, own.repeats.len() as u64);
        if known > 0 && own.draw.chance(rate) {
            own.repeated += 1;
            let place = own.draw.below(known);
            return own.repeats[usize::try_from(place).unwrap_or(0)];
        }
        let (high, low) = (own.draw.bits(), own.draw.bits());
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::clock_laws!({
        let base = Arc::new(VirtualClock::new(7));
        let mover = Arc::downgrade(&base);
        std::thread::spawn(move || {
            while let Some(base) = mover.upgrade() {
                base.advance_to_next();
                std::thread::yield_now();
            }
        });
        Arc::new(ProcessClock::new(base, 3, -900, 0))
    });

    #[test]
    fn a_fast_clock_is_ahead_by_its_drift_and_wakes_on_time() {
        let base = Arc::new(VirtualClock::new(1));
        let clock = ProcessClock::new(Arc::clone(&base), 1, 1_000, 0);
        let start = clock.boot();
        base.advance(Duration::from_secs(1_000));
        assert_eq!(clock.boot().since(start), Duration::from_secs(1_001));
        clock.shift_wall(-5);
        assert_eq!(clock.wall_micros(), base.wall_micros() - 5);
        clock.freeze_wall();
        base.advance(Duration::from_secs(1));
        assert_eq!(clock.wall_micros(), base.wall_micros() - 1_000_005);
    }
}
