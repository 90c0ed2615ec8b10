//! A provider that is never called faster than its limits.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::bucket::Bucket;
use super::{CloudError, CloudProvider, Known, LaunchError, Look, Machine, Notice};
use crate::clock::Clock;
use crate::model::{LaunchRequest, LogId, MachineId, Offering, Scope, Span};

/// How fast one kind of call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls that may be made at once after a pause.
    pub burst: u32,
    /// Calls a second in the long run.
    pub per_sec: u32,
}

/// How fast each kind of call may be made. Each has a bucket of its own, so that looks and launches never starve a
/// termination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Launches.
    pub launch: Rate,
    /// Looks, catalogues and scopes.
    pub look: Rate,
    /// Terminations.
    pub terminate: Rate,
}

impl Limits {
    /// Below what EC2 allows an account in a region, so that other programs of the account can still work: RunInstances 5
    /// and 2 a second of which all are used, the others by half.
    pub const EC2: Self = Self {
        launch: Rate { burst: 5, per_sec: 2 },
        look: Rate { burst: 25, per_sec: 5 },
        terminate: Rate { burst: 50, per_sec: 2 },
    };
}

#[derive(Debug)]
struct Buckets {
    launch: Bucket,
    look: Bucket,
    terminate: Bucket,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Launch,
    Look,
    Terminate,
}

impl Buckets {
    fn of(&mut self, kind: Kind) -> &mut Bucket {
        match kind {
            Kind::Launch => &mut self.launch,
            Kind::Look => &mut self.look,
            Kind::Terminate => &mut self.terminate,
        }
    }
}

/// A provider behind token buckets: a call waits until its bucket has a token, then goes through unchanged.
///
/// A call that is dropped while it waits has taken nothing. An answer "slower" from the provider empties the bucket.
pub struct Limited<T> {
    inner: T,
    clock: Arc<dyn Clock>,
    buckets: Mutex<Buckets>,
    launches_waiting: AtomicU32,
}

/// Counts a launch as waiting for as long as it lives.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T> Limited<T> {
    /// Puts the limits before a provider; the buckets are full.
    pub fn new(inner: T, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        let now = clock.boot();
        let bucket = |rate: Rate| Bucket::new(rate.burst, rate.per_sec, now);
        let buckets =
            Buckets { launch: bucket(limits.launch), look: bucket(limits.look), terminate: bucket(limits.terminate) };
        Self { inner, clock, buckets: Mutex::new(buckets), launches_waiting: AtomicU32::new(0) }
    }

    /// The provider behind the limits.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// How many more launches would get through within this window from now, those that wait already taken off.
    pub fn allowance(&self, window: Span) -> u32 {
        let now = self.clock.boot();
        let within = self.with(Kind::Launch, |bucket| bucket.within(window.to_std(), now));
        within.saturating_sub(self.launches_waiting.load(Ordering::SeqCst))
    }

    fn with<R>(&self, kind: Kind, act: impl FnOnce(&mut Bucket) -> R) -> R {
        act(self.buckets.lock().unwrap_or_else(PoisonError::into_inner).of(kind))
    }

    async fn pass(&self, kind: Kind) {
        while let Err(moment) = self.with(kind, |bucket| bucket.take(1, self.clock.boot())) {
            self.clock.sleep_until(moment).await;
        }
    }

    fn slow_down(&self, kind: Kind) {
        self.with(kind, |bucket| bucket.drain(self.clock.boot()));
    }

    fn heed<R>(&self, kind: Kind, answer: Result<R, CloudError>) -> Result<R, CloudError> {
        if matches!(answer, Err(CloudError::Throttled(_))) {
            self.slow_down(kind);
        }
        answer
    }
}

#[async_trait]
impl<T: CloudProvider> CloudProvider for Limited<T> {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        self.pass(Kind::Look).await;
        self.heed(Kind::Look, self.inner.scope(region).await)
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        self.pass(Kind::Look).await;
        self.heed(Kind::Look, self.inner.catalogue(region).await)
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        let waiting = Waiting::new(&self.launches_waiting);
        self.pass(Kind::Launch).await;
        drop(waiting);
        let answer = self.inner.launch(request).await;
        if matches!(answer, Err(LaunchError::Throttled(_))) {
            self.slow_down(Kind::Launch);
        }
        answer
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        self.pass(Kind::Look).await;
        self.heed(Kind::Look, self.inner.look(scope, log, known).await)
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        self.pass(Kind::Terminate).await;
        let answers = self.inner.terminate(scope, machines).await;
        if answers.iter().any(|answer| matches!(answer, Err(CloudError::Throttled(_)))) {
            self.slow_down(Kind::Terminate);
        }
        answers
    }

    async fn notice(&self) -> Notice {
        self.inner.notice().await
    }
}
