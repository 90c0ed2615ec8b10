//! The controller's side of runners that are reached over SSH.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::address::Target;
use super::client::Trust;
use super::ear::Ear;
use super::keys::SshKeys;
use super::known_host::KnownHost;
use super::link::Link;
use super::protocol::Request;
use super::replies::{Reply, Standing};
use super::transfer;
use super::watcher::Watcher;
use crate::host::{Begun, Closing, Contents, Fetched, Hearing, HostError, Job, Polled, RunnerHost};
use crate::model::{Address, AttemptId, Greeting, Place, RunnerId};
use crate::secret::Secret;

/// Transfers of files at once over one connection: a server has ten channels for it by default.
const TRANSFERS_MAX: usize = 4;
/// Without news, a wait returns after so long, and the poll that follows tells whether the runner still answers.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A connection over which nothing is done but to listen is used this often.
const LISTEN_MAX: Duration = Duration::from_secs(300);

/// A transfer of files of which nothing moves for so long is given up, and made again later. A link that is gone is noticed
/// sooner; this is for a runner that answers and does nothing, as one whose disk hangs.
const LONGEST_STALL: Duration = Duration::from_secs(120);

/// Runners that are reached over SSH, at addresses of the form `user@host:port` (an IPv6 address in brackets).
///
/// Each runner has one connection for all calls, made with the first of them, and made anew after it was lost. It needs a
/// tokio runtime with its IO and time enabled, and the OpenSSH client.
pub struct SshHost {
    keys: SshKeys,
    runners: Mutex<BTreeMap<RunnerId, Arc<Runner>>>,
    longest_stall: Duration,
    ear: Option<Ear>,
}

impl fmt::Debug for SshHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SshHost").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// One runner as this process knows it.
struct Runner {
    address: Address,
    link: tokio::sync::Mutex<Option<Arc<Link>>>,
    watcher: tokio::sync::Mutex<Option<Watcher>>,
    transfers: Semaphore,
    /// The log has its host key, and so no file of ours needs to.
    is_pinned: AtomicBool,
    /// Counts changes.
    news: Arc<watch::Sender<u64>>,
    /// How many of them a wait has told.
    told: AtomicU64,
}

impl Runner {
    fn new(address: Address) -> Self {
        Self {
            address,
            link: tokio::sync::Mutex::default(),
            watcher: tokio::sync::Mutex::default(),
            transfers: Semaphore::new(TRANSFERS_MAX),
            is_pinned: AtomicBool::new(false),
            news: Arc::new(watch::channel(0).0),
            told: AtomicU64::new(0),
        }
    }

    /// After a transfer that did not come through the next call makes a connection anew: the other end of the channel may
    /// hang, and a server has few.
    async fn leave_if_lost<T>(&self, link: &Arc<Link>, answer: Result<T, HostError>) -> Result<T, HostError> {
        if matches!(answer, Err(HostError::Unreachable(_))) {
            let mut slot = self.link.lock().await;
            if slot.as_ref().is_some_and(|held| Arc::ptr_eq(held, link)) {
                *slot = None;
            }
        }
        answer
    }

    fn is_used(&self) -> bool {
        self.link.try_lock().map_or(true, |link| link.as_ref().is_some_and(|link| link.is_open()))
    }
}

impl SshHost {
    /// For all runners that let this key in.
    pub fn new(keys: SshKeys) -> Self {
        Self { keys, runners: Mutex::default(), longest_stall: LONGEST_STALL, ear: None }
    }

    /// As it is, but its runners can be asked what they hear of their own end, in this way.
    #[must_use]
    pub fn with_ear(self, ear: Ear) -> Self {
        Self { ear: Some(ear), ..self }
    }

    /// As it is, but a transfer that stands still ends after this long.
    #[cfg(test)]
    pub(super) fn with_longest_stall(self, longest_stall: Duration) -> Self {
        Self { longest_stall, ..self }
    }

    /// The public half of the key that runners are to let in: what their user data installs.
    pub fn public_key(&self) -> &str {
        self.keys.public_key()
    }

    fn runner(&self, place: &Place) -> Arc<Runner> {
        let mut runners = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runner) = runners.get(&place.runner).filter(|runner| runner.address == place.address) {
            return Arc::clone(runner);
        }
        // Those without a connection are forgotten when another one comes.
        runners.retain(|_, runner| Arc::strong_count(runner) > 1 || runner.is_used());
        let runner = Arc::new(Runner::new(place.address.clone()));
        runners.insert(place.runner, Arc::clone(&runner));
        runner
    }

    /// The runner's connection, and whether it was made just now.
    async fn link(&self, runner: &Runner, place: &Place) -> Result<(Arc<Link>, bool), HostError> {
        let mut slot = runner.link.lock().await;
        if place.identity.is_some() && !runner.is_pinned.swap(true, Ordering::AcqRel) {
            KnownHost::forget(self.keys.folder(), place.runner);
        }
        let is_meant = |link: &Link| place.identity.as_ref().is_none_or(|pinned| *pinned == link.identity);
        if let Some(link) = slot.as_ref().filter(|link| link.is_open() && is_meant(link)) {
            return Ok((Arc::clone(link), false));
        }
        *slot = None;
        let target = Target::parse(&place.address)?;
        let (known_host, trust) = match &place.identity {
            Some(identity) => (KnownHost::pinned(self.keys.folder(), identity)?, Trust::Pinned),
            None => (KnownHost::at_first_contact(self.keys.folder(), place.runner), Trust::FirstContact),
        };
        let news = Arc::clone(&runner.news);
        let link = Arc::new(Link::connect(self.keys.folder(), target, &known_host, trust, news).await?);
        *slot = Some(Arc::clone(&link));
        Ok((link, true))
    }

    /// The answer to a request, which may be made twice: what was on a connection that broke is asked again on a new one.
    async fn ask(&self, place: &Place, request: impl Fn() -> Result<Request, HostError>) -> Result<Reply, HostError> {
        let runner = self.runner(place);
        let first = request()?;
        let (link, is_new) = self.link(&runner, place).await?;
        match link.ask(first).await {
            Err(HostError::Unreachable(_)) if !is_new => {}
            other => return other,
        }
        let (link, _) = self.link(&runner, place).await?;
        link.ask(request()?).await
    }

    /// Does this with the runner's watcher, which is made anew where the connection was.
    async fn with_watcher<T>(
        &self,
        runner: &Runner,
        link: &Link,
        act: impl AsyncFnOnce(&mut Watcher) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let mut slot = runner.watcher.lock().await;
        match slot.as_mut().filter(|watcher| watcher.is_of(link)) {
            Some(watcher) => act(watcher).await,
            None => act(slot.insert(Watcher::open(link, Arc::clone(&runner.news), self.ear).await?)).await,
        }
    }

    async fn ask_word(
        &self,
        place: &Place,
        request: impl Fn() -> Result<Request, HostError>,
    ) -> Result<String, HostError> {
        match self.ask(place, request).await? {
            Reply::Word(word) => match word.strip_prefix("refused ") {
                Some(why) => Err(HostError::Refused(why.to_owned())),
                None => Ok(word),
            },
            Reply::Standings(_) => Err(not_understood()),
        }
    }
}

fn not_understood() -> HostError {
    HostError::Unreachable("it answers something else than it was asked".to_owned())
}

#[async_trait]
impl RunnerHost for SshHost {
    /// Learns the host key at the first contact. With a pinned one, the connection itself refuses every other.
    async fn greet(&self, place: &Place) -> Result<Greeting, HostError> {
        let runner = self.runner(place);
        self.ask(place, || Request::poll(&[])).await?;
        let (link, _) = self.link(&runner, place).await?;
        Ok(Greeting { identity: Some(link.identity.clone()) })
    }

    async fn stage(&self, place: &Place, attempt: AttemptId, contents: &Contents) -> Result<(), HostError> {
        if contents.archives.is_empty() {
            return Ok(());
        }
        let runner = self.runner(place);
        let _permit = runner.transfers.acquire().await;
        let (link, _) = self.link(&runner, place).await?;
        let staged = transfer::stage(&link, attempt, contents, self.longest_stall).await;
        runner.leave_if_lost(&link, staged).await
    }

    async fn start(
        &self,
        place: &Place,
        attempt: AttemptId,
        job: &Job,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Begun, HostError> {
        match self.ask_word(place, || Request::start(attempt, job, secrets)).await?.as_str() {
            "begun" => Ok(Begun::Started),
            "closed" => Ok(Begun::Closed),
            _ => Err(not_understood()),
        }
    }

    async fn poll(&self, place: &Place, attempts: &[(AttemptId, u64)]) -> Result<Vec<Polled>, HostError> {
        let standings = match self.ask(place, || Request::poll(attempts)).await? {
            Reply::Standings(standings) if standings.len() == attempts.len() => standings,
            Reply::Standings(_) | Reply::Word(_) => return Err(not_understood()),
        };
        let polled = attempts.iter().zip(standings).map(|((attempt, _), standing)| {
            let Standing { progress, output, has_more } = standing;
            Polled { attempt: *attempt, progress, output, has_more }
        });
        Ok(polled.collect())
    }

    async fn close(&self, place: &Place, attempt: AttemptId, closing: Closing) -> Result<(), HostError> {
        self.ask_word(place, || Request::close(attempt, closing)).await.map(drop)
    }

    async fn fetch(&self, place: &Place, attempt: AttemptId, path: &str) -> Result<Fetched, HostError> {
        let runner = self.runner(place);
        let _permit = runner.transfers.acquire().await;
        let (link, _) = self.link(&runner, place).await?;
        let fetched = transfer::fetch(&link, attempt, path, self.longest_stall).await;
        runner.leave_if_lost(&link, fetched).await
    }

    async fn release(&self, place: &Place, attempt: AttemptId) -> Result<(), HostError> {
        self.ask_word(place, || Request::release(attempt)).await.map(drop)
    }

    async fn wait(&self, place: &Place) -> Result<(), HostError> {
        let runner = self.runner(place);
        let told = runner.told.load(Ordering::Acquire);
        let (link, _) = self.link(&runner, place).await?;
        self.with_watcher(&runner, &link, async |_| Ok(())).await?;
        drop(link);
        let mut news = runner.news.subscribe();
        // Nobody can close it: the runner holds the sender.
        if let Ok(Ok(count)) = timeout(WAIT_MAX, news.wait_for(|count| *count != told)).await {
            runner.told.fetch_max(*count, Ordering::AcqRel);
        }
        Ok(())
    }

    /// The runner's side asks, over the channel on which it tells of changes.
    async fn listen(&self, place: &Place, last: Option<Hearing>) -> Result<Hearing, HostError> {
        if self.ear.is_none() {
            return if last == Some(Hearing::Deaf) { std::future::pending().await } else { Ok(Hearing::Deaf) };
        }
        let runner = self.runner(place);
        let (link, _) = self.link(&runner, place).await?;
        let lost = |_| HostError::Unreachable("the connection was lost".to_owned());
        let mut hearing =
            self.with_watcher(&runner, &link, async |watcher| watcher.hearing().await.map_err(lost)).await?;
        drop(link);
        let is_new = |hearing: &Option<Hearing>| hearing.is_some() && *hearing != last;
        loop {
            let heard = timeout(LISTEN_MAX, async { hearing.wait_for(is_new).await.map(|hearing| *hearing) }).await;
            match heard {
                Ok(Ok(Some(hearing))) => return Ok(hearing),
                Ok(Ok(None) | Err(_)) => return Err(HostError::Unreachable("the connection was lost".to_owned())),
                // So that the connection is used, and not closed.
                Err(_) => drop(self.ask(place, || Request::poll(&[])).await?),
            }
        }
    }
}
