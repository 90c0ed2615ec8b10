//! Token buckets by key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::bucket::Bucket;
use super::send_permit::SendPermit;
use crate::clock::Clock;
use crate::model::Span;

/// How fast one kind of call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls that may be made at once after a pause.
    pub burst: u32,
    /// Calls a second in the long run.
    pub per_sec: u32,
}

/// A token bucket for each key, such as an account, region and API: whoever waits for one never holds up another.
///
/// A bucket is full when it is first asked for, and keeps the rate that it was first asked for with.
pub struct Turns<K> {
    clock: Arc<dyn Clock>,
    buckets: Mutex<BTreeMap<K, Bucket>>,
}

impl<K: Ord + Clone> Turns<K> {
    /// No buckets yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, buckets: Mutex::new(BTreeMap::new()) }
    }

    fn with<R>(&self, key: &K, rate: Rate, act: impl FnOnce(&mut Bucket) -> R) -> R {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || Bucket::new(rate.burst, rate.per_sec, self.clock.boot());
        act(buckets.entry(key.clone()).or_insert_with(full))
    }

    /// Waits for a token and takes it, unless the permit ends first: then it says no and takes nothing.
    pub async fn pass_with(&self, key: &K, rate: Rate, permit: &SendPermit) -> bool {
        loop {
            let now = self.clock.boot();
            if !permit.holds(now) {
                return false;
            }
            match self.with(key, rate, |bucket| bucket.take(1, now)) {
                Ok(()) => return true,
                Err(next) => self.clock.sleep_until(next.min(permit.ends())).await,
            }
        }
    }

    /// Waits for a token and takes it. Dropped while it waits, it has taken nothing.
    pub async fn pass(&self, key: &K, rate: Rate) {
        while let Err(moment) = self.with(key, rate, |bucket| bucket.take(1, self.clock.boot())) {
            self.clock.sleep_until(moment).await;
        }
    }

    /// Empties the bucket: the other side has said that it was too much.
    pub fn slow_down(&self, key: &K, rate: Rate) {
        self.with(key, rate, |bucket| bucket.drain(self.clock.boot()));
    }

    /// How many tokens there will have been within this window from now.
    pub fn within(&self, key: &K, rate: Rate, window: Span) -> u32 {
        self.with(key, rate, |bucket| bucket.within(window.to_std(), self.clock.boot()))
    }
}
