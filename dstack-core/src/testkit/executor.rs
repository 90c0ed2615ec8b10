//! Runs futures in virtual time: when nothing can go on, the clock moves to the next timer.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::clock::{Boot, Clock, VirtualClock};

/// Nothing can go on, and no timer is set: the work waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// Nobody will ever wake it.
    #[error("nothing can go on and no timer is set")]
    Forever,
    /// It is not done by the moment that was given.
    #[error("it is not done in time")]
    TooLate,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs the work to its end on this thread. Time passes only when nothing else can happen.
///
/// # Errors
/// When the work can never end, or has not ended at the clock's `deadline`.
pub fn run<T>(clock: &VirtualClock, deadline: Boot, work: impl Future<Output = T>) -> Result<T, Stuck> {
    let mut work = pin!(work);
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    loop {
        while flag.0.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return Ok(done);
            }
        }
        if clock.boot() >= deadline {
            return Err(Stuck::TooLate);
        }
        clock.advance_to_next().ok_or(Stuck::Forever)?;
    }
}
