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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;
    use crate::clock::{Boot, VirtualClock};
    use crate::cloud::fake::tests::{drive, request};
    use crate::cloud::{Api, FakeCloud, Throttling, builtin_offerings};

    const LOG: LogId = LogId::from_bytes([7; 16]);

    fn limited() -> (Arc<VirtualClock>, Limited<FakeCloud>) {
        let clock = Arc::new(VirtualClock::new(1));
        let cloud = FakeCloud::new(Arc::clone(&clock) as Arc<dyn Clock>, 1).with_throttling(Throttling::EC2);
        let limited = Limited::new(cloud, Arc::clone(&clock) as Arc<dyn Clock>, Limits::EC2);
        (clock, limited)
    }

    #[test]
    fn launches_wait_for_their_turn_and_none_is_throttled() {
        let (clock, limited) = limited();
        let requests: Vec<_> = (1..=15).map(|launch| request(&builtin_offerings()[0], launch)).collect();
        let answers = drive(&clock, join_all(requests.iter().map(|request| limited.launch(request))));
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(limited.inner().calls(Api::Launch), 15);
        assert_eq!(clock.boot(), Boot(Duration::from_secs(5)), "five at once, ten at two a second");
    }

    #[test]
    fn a_flood_of_looks_and_launches_never_delays_a_termination() {
        let (clock, limited) = limited();
        let scope = builtin_offerings()[0].scope.clone();
        let requests: Vec<_> = (1..=20).map(|launch| request(&builtin_offerings()[0], launch)).collect();
        let mut launches = join_all(requests.iter().map(|request| limited.launch(request)));
        let mut looks = join_all((0..60).map(|_| limited.look(&scope, LOG, &[])));
        assert!((&mut launches).now_or_never().is_none() && (&mut looks).now_or_never().is_none());
        let id = limited.inner().machines()[0].id.clone();
        let answer = limited.terminate(&scope, &[id]).now_or_never();
        assert_eq!(answer, Some(vec![Ok(())]));
        assert_eq!(clock.boot(), Boot::default());
    }

    #[test]
    fn the_allowance_is_what_gets_through() {
        let (clock, limited) = limited();
        let window = Span::from_secs(30);
        assert_eq!(limited.allowance(Span::ZERO), 5);
        assert_eq!(limited.allowance(window), 65);
        let requests: Vec<_> = (1..=70).map(|launch| request(&builtin_offerings()[0], launch)).collect();
        let mut launches = join_all(requests.iter().map(|request| limited.launch(request)));
        assert!((&mut launches).now_or_never().is_none());
        assert_eq!(limited.allowance(window), 0, "65 wait, and 60 tokens come");
        clock.advance(window.to_std());
        assert!((&mut launches).now_or_never().is_none());
        clock.advance(Duration::ZERO);
        drop(launches);
        assert_eq!(limited.allowance(Span::from_secs(1)), limited.allowance(Span::ZERO) + 2, "nobody waits any more");
    }

    #[test]
    fn a_launch_dropped_while_it_waits_takes_nothing() {
        let (clock, limited) = limited();
        let requests: Vec<_> = (1..=8).map(|launch| request(&builtin_offerings()[0], launch)).collect();
        for request in &requests[..5] {
            drive(&clock, limited.launch(request)).expect("there is a token");
        }
        for request in &requests[5..] {
            assert!(limited.launch(request).now_or_never().is_none());
        }
        assert_eq!((limited.allowance(Span::from_secs(1)), limited.inner().calls(Api::Launch)), (2, 5));
    }

    #[test]
    fn an_answer_to_go_slower_empties_the_bucket() {
        let (clock, limited) = limited();
        limited.inner().fail_next_launch(LaunchError::Throttled("slower".into()));
        let request = request(&builtin_offerings()[0], 1);
        assert!(matches!(drive(&clock, limited.launch(&request)), Err(LaunchError::Throttled(_))));
        assert_eq!(limited.allowance(Span::ZERO), 0);
        assert!(drive(&clock, limited.launch(&request)).is_ok());
        assert_eq!(clock.boot(), Boot(Duration::from_millis(500)));
    }
}
