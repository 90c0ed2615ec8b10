//! Boundaries that a controller's work passes, and what happens at them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Boot, Clock, VirtualClock};

/// A paused process stops for so long: longer than ttl, margin and settling time of a claim together.
pub const PAUSE: Duration = Duration::from_secs(20 * 60);

/// A kind of boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Boundary {
    /// An append is sent, and not yet in the log.
    BeforeAppend,
    /// What is held is made durable. Nobody else appends meanwhile: the store's transaction is open.
    BeforeSync,
    /// What was appended is durable, and its process does not know.
    AfterAppend,
    /// A launch is sent: the time under its claim has just been looked at. A process that stands still exactly here breaks the
    /// one assumption of the claim protocol.
    BeforeLaunch,
    /// A call to the outside is sent, and has done nothing yet.
    BeforeEffect,
    /// It has done what it does, and its process does not know.
    AfterEffect,
    /// The process begins to wait for news.
    Wait,
}

/// What happens at a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The process ends; another one starts.
    Crash,
    /// The process stops for [`PAUSE`] and then goes on; another one starts meanwhile.
    Pause,
    /// The process is told that nothing is known of the call.
    LoseReply,
    /// Somebody else appends first.
    Conflict,
}

impl Boundary {
    /// What can happen there.
    pub const fn faults(self) -> &'static [Fault] {
        match self {
            Self::BeforeAppend => &[Fault::Crash, Fault::Pause, Fault::Conflict],
            Self::AfterAppend | Self::AfterEffect => &[Fault::Crash, Fault::Pause, Fault::LoseReply],
            Self::BeforeSync | Self::BeforeLaunch => &[Fault::Crash],
            Self::BeforeEffect | Self::Wait => &[Fault::Crash, Fault::Pause],
        }
    }
}

/// A boundary that was passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Its kind.
    pub boundary: Boundary,
    /// The port's method.
    pub call: &'static str,
}

/// All boundaries of a life, in the order in which they are passed, and what happens at which of them.
pub struct Points {
    clock: Arc<VirtualClock>,
    faults: BTreeMap<usize, Fault>,
    passed: Mutex<Vec<Point>>,
    births: AtomicU64,
}

/// How a process of a life stands.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    is_dead: AtomicBool,
    /// Microseconds of boot time until which it stands still.
    still_until: AtomicU64,
}

impl Pulse {
    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    pub(super) fn still_until(&self) -> Boot {
        Boot(Duration::from_micros(self.still_until.load(Ordering::Relaxed)))
    }
}

impl Points {
    /// A life in which these faults happen at the boundaries with these numbers, from 0.
    pub fn new(clock: Arc<VirtualClock>, faults: BTreeMap<usize, Fault>) -> Self {
        Self { clock, faults, passed: Mutex::new(Vec::new()), births: AtomicU64::new(0) }
    }

    /// The boundaries that were passed.
    pub fn passed(&self) -> Vec<Point> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many processes are to be started because of faults since this was last asked.
    pub(super) fn take_births(&self) -> u64 {
        self.births.swap(0, Ordering::Relaxed)
    }

    /// A process that has ended or stands still passes nothing.
    async fn stand(&self, pulse: &Pulse) {
        if pulse.is_dead() {
            std::future::pending::<()>().await;
        }
        self.clock.sleep_until(pulse.still_until()).await;
    }

    /// Passes a boundary. Ends and stops the process there, or says what else happens to the call.
    pub(super) async fn pass(&self, pulse: &Pulse, boundary: Boundary, call: &'static str) -> Option<Fault> {
        self.stand(pulse).await;
        let place = {
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            passed.push(Point { boundary, call });
            passed.len() - 1
        };
        let fault = *self.faults.get(&place)?;
        match fault {
            Fault::Crash => {
                pulse.is_dead.store(true, Ordering::Relaxed);
                self.births.fetch_add(1, Ordering::Relaxed);
                std::future::pending().await
            }
            Fault::Pause => {
                let until = self.clock.boot().plus(PAUSE).0.as_micros();
                pulse.still_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
                self.births.fetch_add(1, Ordering::Relaxed);
                self.stand(pulse).await;
                None
            }
            Fault::LoseReply | Fault::Conflict => Some(fault),
        }
    }
}
