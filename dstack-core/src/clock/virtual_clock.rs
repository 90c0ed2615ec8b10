//! A clock that stands still until a test moves it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Boot, Clock};

/// Where the wall clock of a new virtual clock stands: 2026-01-01 00:00:00 UTC, in microseconds.
const WALL_START_US: i64 = 1_767_225_600_000_000;

/// Time that moves only by hand, and entropy that a seed decides. No timer and no thread is behind it.
#[derive(Debug)]
pub struct VirtualClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: Boot,
    wall_offset_us: i64,
    random: ChaCha8Rng,
    /// Sleepers by moment, then by order of arrival.
    sleepers: BTreeMap<(Boot, u64), Waker>,
    arrivals: u64,
}

impl VirtualClock {
    /// A clock at boot time 0 whose entropy follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State {
            now: Boot::default(),
            wall_offset_us: WALL_START_US,
            random: ChaCha8Rng::seed_from_u64(seed),
            sleepers: BTreeMap::new(),
            arrivals: 0,
        };
        Self { state: Mutex::new(state) }
    }

    /// Lets that much time pass, and wakes the sleepers whose moment has come, the earliest first.
    pub fn advance(&self, length: Duration) {
        let mut state = self.lock();
        let now = state.now.plus(length);
        state.now = now;
        let later = state.sleepers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
    }

    /// The earliest moment that somebody sleeps until.
    pub fn next_timer(&self) -> Option<Boot> {
        self.lock().sleepers.keys().next().map(|(moment, _)| *moment)
    }

    /// Lets time pass until the next sleeper wakes; says when that is, or nothing when nobody sleeps.
    pub fn advance_to_next(&self) -> Option<Boot> {
        let next = self.next_timer()?;
        let now = self.boot();
        self.advance(next.since(now));
        Some(next)
    }

    /// Sets the wall clock to boot time plus this many microseconds: it jumps, boot time does not.
    pub fn set_wall_offset(&self, offset_us: i64) {
        self.lock().wall_offset_us = offset_us;
    }

    /// Moves the wall clock by this many microseconds, back if negative.
    pub fn shift_wall(&self, by_us: i64) {
        let mut state = self.lock();
        state.wall_offset_us = state.wall_offset_us.saturating_add(by_us);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes its sleeper out of the clock when it is dropped.
struct Sleeper<'a> {
    clock: &'a VirtualClock,
    key: (Boot, u64),
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.clock.lock().sleepers.remove(&self.key);
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn wall_micros(&self) -> i64 {
        let state = self.lock();
        i64::try_from(state.now.0.as_micros()).unwrap_or(i64::MAX).saturating_add(state.wall_offset_us)
    }

    fn boot(&self) -> Boot {
        self.lock().now
    }

    async fn sleep_until(&self, moment: Boot) {
        let arrival = {
            let mut state = self.lock();
            state.arrivals += 1;
            state.arrivals
        };
        let sleeper = Sleeper { clock: self, key: (moment, arrival) };
        poll_fn(|context| {
            let mut state = self.lock();
            if state.now >= moment {
                return Poll::Ready(());
            }
            state.sleepers.insert(sleeper.key, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn entropy(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.lock().random.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::*;

    crate::clock_laws!({
        // Somebody has to move this clock: a thread that lets time pass whenever somebody sleeps.
        let clock = Arc::new(VirtualClock::new(7));
        let mover = Arc::downgrade(&clock);
        std::thread::spawn(move || {
            while let Some(clock) = mover.upgrade() {
                clock.advance_to_next();
                std::thread::yield_now();
            }
        });
        clock
    });

    #[test]
    fn equal_seeds_give_equal_entropy_and_others_do_not() {
        let draw = |seed| {
            let clock = VirtualClock::new(seed);
            [clock.entropy(), clock.entropy()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn sleepers_wake_at_their_moment_and_a_dropped_one_is_forgotten() {
        let clock = VirtualClock::new(1);
        let at = |secs| Boot(Duration::from_secs(secs));
        let mut late = clock.sleep_until(at(9));
        let mut early = clock.sleep_until(at(4));
        assert!(late.as_mut().now_or_never().is_none());
        assert!(early.as_mut().now_or_never().is_none());
        assert_eq!(clock.advance_to_next(), Some(at(4)));
        assert!(early.as_mut().now_or_never().is_some());
        assert!(late.as_mut().now_or_never().is_none());
        assert_eq!(clock.next_timer(), Some(at(9)));
        drop(late);
        assert_eq!((clock.next_timer(), clock.advance_to_next()), (None, None));
    }

    #[test]
    fn the_wall_clock_jumps_without_boot_time() {
        let clock = VirtualClock::new(1);
        clock.advance(Duration::from_secs(5));
        let before = clock.wall_micros();
        clock.shift_wall(-3_000_000);
        assert_eq!(clock.wall_micros(), before - 3_000_000);
        assert_eq!(clock.boot(), Boot(Duration::from_secs(5)));
        clock.set_wall_offset(0);
        assert_eq!(clock.wall_micros(), 5_000_000);
    }
}
