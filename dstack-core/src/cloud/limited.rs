//! A provider that is never called faster than its limits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::send_permit::SendPermit;
use super::turns::{Rate, Turns};
use super::{CloudError, CloudProvider, Known, LaunchError, Look, Machine, Notice};
use crate::clock::Clock;
use crate::model::{LaunchRequest, LogId, MachineId, Offering, Scope, Span};

/// How fast each kind of call may be made. Each has a bucket of its own in each account and region, so that looks and
/// launches never starve a termination, nor one region another.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Launch,
    Look,
    Terminate,
}

/// What has a bucket of its own. The account is empty for calls that are made before it is known.
type Key = (String, String, Kind);

fn key(scope: &Scope, kind: Kind) -> Key {
    (scope.account.clone(), scope.region.clone(), kind)
}

fn region_key(region: &str) -> Key {
    (String::new(), region.to_owned(), Kind::Look)
}

/// A provider behind token buckets: a call waits until its bucket has a token, then goes through unchanged.
///
/// A call that is dropped while it waits has taken nothing. An answer "slower" from the provider empties the bucket.
pub struct Limited<T> {
    inner: T,
    limits: Limits,
    turns: Turns<Key>,
    launches_waiting: Mutex<BTreeMap<Key, u32>>,
}

/// Counts a launch as waiting for as long as it lives.
struct Waiting<'a> {
    count: &'a Mutex<BTreeMap<Key, u32>>,
    key: Key,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a Mutex<BTreeMap<Key, u32>>, key: Key) -> Self {
        *count.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default() += 1;
        Self { count, key }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.count.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&self.key) {
            *count -= 1;
        }
    }
}

impl<T> Limited<T> {
    /// Puts the limits before a provider; the buckets are full.
    pub fn new(inner: T, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self { inner, limits, turns: Turns::new(clock), launches_waiting: Mutex::new(BTreeMap::new()) }
    }

    /// The provider behind the limits.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// How many more launches of a scope would get through within this window from now, those that wait already taken off.
    pub fn allowance(&self, scope: &Scope, window: Span) -> u32 {
        let key = key(scope, Kind::Launch);
        let within = self.turns.within(&key, self.limits.launch, window);
        let waiting = self.launches_waiting.lock().unwrap_or_else(PoisonError::into_inner);
        within.saturating_sub(waiting.get(&key).copied().unwrap_or(0))
    }

    const fn rate(&self, kind: Kind) -> Rate {
        match kind {
            Kind::Launch => self.limits.launch,
            Kind::Look => self.limits.look,
            Kind::Terminate => self.limits.terminate,
        }
    }

    async fn pass(&self, key: &Key) {
        self.turns.pass(key, self.rate(key.2)).await;
    }

    fn slow_down(&self, key: &Key) {
        self.turns.slow_down(key, self.rate(key.2));
    }

    fn heed<R>(&self, key: &Key, answer: Result<R, CloudError>) -> Result<R, CloudError> {
        if matches!(answer, Err(CloudError::Throttled(_))) {
            self.slow_down(key);
        }
        answer
    }
}

#[async_trait]
impl<T: CloudProvider> CloudProvider for Limited<T> {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        let key = region_key(region);
        self.pass(&key).await;
        self.heed(&key, self.inner.scope(region).await)
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        let key = region_key(region);
        self.pass(&key).await;
        self.heed(&key, self.inner.catalogue(region).await)
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        self.launch_with(request, &SendPermit::unbounded()).await
    }

    async fn launch_with(&self, request: &LaunchRequest, permit: &SendPermit) -> Result<Machine, LaunchError> {
        let key = key(&request.scope, Kind::Launch);
        let waiting = Waiting::new(&self.launches_waiting, key.clone());
        let is_in_time = self.turns.pass_with(&key, self.limits.launch, permit).await;
        drop(waiting);
        if !is_in_time {
            return Err(LaunchError::not_sent());
        }
        let answer = self.inner.launch_with(request, permit).await;
        let is_unsent = answer.as_ref().is_err_and(|error| *error == LaunchError::not_sent());
        if matches!(answer, Err(LaunchError::Throttled(_))) && !is_unsent {
            self.slow_down(&key);
        }
        answer
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        let key = key(scope, Kind::Look);
        self.pass(&key).await;
        self.heed(&key, self.inner.look(scope, log, known).await)
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        let key = key(scope, Kind::Terminate);
        self.pass(&key).await;
        let answers = self.inner.terminate(scope, machines).await;
        if answers.iter().any(|answer| matches!(answer, Err(CloudError::Throttled(_)))) {
            self.slow_down(&key);
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

    fn scope() -> Scope {
        builtin_offerings()[0].scope.clone()
    }

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
    fn what_did_not_get_its_turn_in_time_is_never_sent() {
        let (clock, limited) = limited();
        let requests: Vec<_> = (1..=15).map(|launch| request(&builtin_offerings()[0], launch)).collect();
        let permit = SendPermit::until(Boot(Duration::from_secs(3)));
        let launches = requests.iter().map(|request| limited.launch_with(request, &permit));
        let answers = drive(&clock, join_all(launches));
        let sent = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(
            (sent, limited.inner().calls(Api::Launch)),
            (10, 10),
            "five at once, and two a second before the third"
        );
        assert!(answers[10..].iter().all(|answer| matches!(answer, Err(LaunchError::Throttled(_)))), "{answers:?}");
    }

    #[test]
    fn what_is_withdrawn_while_it_waits_is_never_sent_and_takes_no_turn() {
        let (clock, limited) = limited();
        let requests: Vec<_> = (1..=16).map(|launch| request(&builtin_offerings()[0], launch)).collect();
        let permit = SendPermit::unbounded();
        let mut launches = join_all(requests.iter().map(|request| limited.launch_with(request, &permit)));
        assert!((&mut launches).now_or_never().is_none(), "five are sent, the others wait");
        permit.withdraw();
        let answers = drive(&clock, launches);
        assert_eq!(
            (answers.iter().filter(|answer| answer.is_ok()).count(), limited.inner().calls(Api::Launch)),
            (5, 5)
        );
        assert!(clock.boot() < Boot(Duration::from_secs(1)), "they do not wait for their turns");
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
    fn a_region_never_waits_for_another() {
        let (clock, limited) = limited();
        let elsewhere = Scope { region: "eu-west-1".into(), ..scope() };
        let requests: Vec<_> = (1..=20).map(|launch| request(&builtin_offerings()[0], launch)).collect();
        let mut launches = join_all(requests.iter().map(|request| limited.launch(request)));
        assert!((&mut launches).now_or_never().is_none());
        assert_eq!((limited.allowance(&scope(), Span::ZERO), limited.allowance(&elsewhere, Span::ZERO)), (0, 5));
        let other = LaunchRequest { scope: elsewhere, ..request(&builtin_offerings()[0], 21) };
        assert!(limited.launch(&other).now_or_never().is_some(), "it is answered at once, whatever the answer is");
        assert_eq!(clock.boot(), Boot::default());
    }

    #[test]
    fn the_allowance_is_what_gets_through() {
        let (clock, limited) = limited();
        let window = Span::from_secs(30);
        assert_eq!(limited.allowance(&scope(), Span::ZERO), 5);
        assert_eq!(limited.allowance(&scope(), window), 65);
        let requests: Vec<_> = (1..=70).map(|launch| request(&builtin_offerings()[0], launch)).collect();
        let mut launches = join_all(requests.iter().map(|request| limited.launch(request)));
        assert!((&mut launches).now_or_never().is_none());
        assert_eq!(limited.allowance(&scope(), window), 0, "65 wait, and 60 tokens come");
        clock.advance(window.to_std());
        assert!((&mut launches).now_or_never().is_none());
        clock.advance(Duration::ZERO);
        drop(launches);
        assert_eq!(
            limited.allowance(&scope(), Span::from_secs(1)),
            limited.allowance(&scope(), Span::ZERO) + 2,
            "nobody waits any more"
        );
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
        assert_eq!((limited.allowance(&scope(), Span::from_secs(1)), limited.inner().calls(Api::Launch)), (2, 5));
    }

    #[test]
    fn an_answer_to_go_slower_empties_the_bucket() {
        let (clock, limited) = limited();
        limited.inner().fail_next_launch(LaunchError::Throttled("slower".into()));
        let request = request(&builtin_offerings()[0], 1);
        assert!(matches!(drive(&clock, limited.launch(&request)), Err(LaunchError::Throttled(_))));
        assert_eq!(limited.allowance(&scope(), Span::ZERO), 0);
        assert!(drive(&clock, limited.launch(&request)).is_ok());
        assert_eq!(clock.boot(), Boot(Duration::from_millis(500)));
    }
}
