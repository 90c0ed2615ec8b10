//! A controller: what it remembers, and its loop.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures::StreamExt;
use futures::future::{AbortHandle, Abortable, Aborted};
use futures::stream::FuturesUnordered;

use super::absences::Absences;
use super::claims::{ClaimKey, Claims};
use super::ears::Ears;
use super::effect::{Done, EffectKey, Outcome, RecentArchives};
use super::looks::Looks;
use super::owed::OwedCalls;
use super::ports::{Options, Ports};
use super::record::Pending;
use super::step::Step;
use crate::client::{Client, ClientError};
use crate::clock::Boot;
use crate::cloud::SendPermit;
use crate::model::{At, AttemptId, ControllerId, Observation, RunnerId, Scope};
use crate::store::{AppendError, StoreError};

/// Why a controller gave up. What it had owed is still owed: any controller goes on with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControllerError {
    /// The log cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log holds records that this program cannot read in full: it starts and stops nothing.
    #[error("the log was written by a newer dstack, so this one only reads: {0}")]
    ReadOnly(String),
}

/// How long the loop waits for its next step.
enum Pause {
    /// Until something may be new, or this moment at the latest.
    UntilNews(Option<Boot>),
    /// Until this moment.
    Until(Boot),
}

type Effect = Pin<Box<dyn Future<Output = Result<Done, Aborted>> + Send>>;

/// Keeps the promises of one log: launches, assigns, follows, collects, terminates.
///
/// Drive it with [`Controller::step`] and [`Controller::wait`], or let it run with [`Controller::run_until_idle`].
pub struct Controller {
    pub(super) id: ControllerId,
    pub(super) client: Client,
    pub(super) ports: Ports,
    pub(super) options: Options,
    pub(super) effects: FuturesUnordered<Effect>,
    pub(super) in_flight: BTreeMap<EffectKey, AbortHandle>,
    pub(super) done: Vec<Done>,
    /// Seen, but not yet in the log.
    pub(super) observations: Vec<Observation>,
    /// Appends whose outcome is not known, in their order: they are sent again before anything else is recorded.
    pub(super) pending: Vec<Pending>,
    pub(super) claims: Claims,
    /// Of the launches under way.
    pub(super) permits: BTreeMap<ClaimKey, SendPermit>,
    pub(super) looks: Looks,
    pub(super) absences: Absences,
    pub(super) owed: OwedCalls,
    /// Attempts that are begun or closed, as far as we know: they can be followed.
    pub(super) begun: BTreeSet<AttemptId>,
    /// Attempts whose end was asked for; true means without artifacts.
    pub(super) closed: BTreeMap<AttemptId, bool>,
    pub(super) followed: BTreeMap<RunnerId, BTreeSet<AttemptId>>,
    /// What the runners themselves say of their end.
    pub(super) ears: Ears,
    /// Runners that lost what ran on them, with when: they may be gone.
    pub(super) suspects: BTreeMap<RunnerId, At>,
    pub(super) recent: RecentArchives,
    /// When prices were last asked for.
    pub(super) prices_asked: BTreeMap<Scope, Boot>,
    pub(super) now: At,
    pub(super) now_boot: Boot,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seq = self.client.state().seq();
        formatter.debug_struct("Controller").field("id", &self.id).field("seq", &seq).finish_non_exhaustive()
    }
}

impl Controller {
    /// A controller of this log, as a process of its own: it knows nothing yet but what it will read.
    pub fn new(client: Client, ports: Ports, options: Options) -> Self {
        Self {
            id: ControllerId::from_entropy(client.clock().entropy()),
            client,
            ports,
            options,
            effects: FuturesUnordered::new(),
            in_flight: BTreeMap::new(),
            done: Vec::new(),
            observations: Vec::new(),
            pending: Vec::new(),
            claims: Claims::default(),
            permits: BTreeMap::new(),
            looks: Looks::default(),
            absences: Absences::default(),
            owed: OwedCalls::default(),
            begun: BTreeSet::new(),
            closed: BTreeMap::new(),
            followed: BTreeMap::new(),
            ears: Ears::default(),
            suspects: BTreeMap::new(),
            recent: RecentArchives::default(),
            prices_asked: BTreeMap::new(),
            now: At::default(),
            now_boot: Boot::default(),
        }
    }

    /// The log as it was last read, and the way to ask for things.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The same, to append to.
    pub const fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// What it calls.
    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The same, to register more providers before the first step.
    pub const fn ports_mut(&mut self) -> &mut Ports {
        &mut self.ports
    }

    /// Steps and waits until nothing is left to do: nothing runs, no machine may be alive, nothing waits that could start.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn run_until_idle(&mut self) -> Result<(), ControllerError> {
        self.run_while(|step| !step.is_idle, std::future::pending()).await
    }

    /// Steps and waits until `stop` is done. What is under way is dropped then: any controller goes on with it.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> Result<(), ControllerError> {
        self.run_while(|_| true, stop).await
    }

    /// Steps and waits until nothing is left to do or `stop` is done, whichever comes first.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn run_until_idle_or(&mut self, stop: impl Future<Output = ()>) -> Result<(), ControllerError> {
        self.run_while(|step| !step.is_idle, stop).await
    }

    async fn run_while(
        &mut self,
        mut goes_on: impl FnMut(&Step) -> bool,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ControllerError> {
        futures::pin_mut!(stop);
        let mut failures = 0;
        loop {
            let pause = match self.step().await {
                Ok(step) => {
                    failures = 0;
                    self.client.save_snapshot_if_worth().await;
                    if !goes_on(&step) {
                        return Ok(());
                    }
                    Pause::UntilNews(step.next_wake)
                }
                // For ever: as long as machines live, somebody has to be there when the log is.
                Err(error) if is_transient(&error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "the log could not be used; trying again");
                    let wait = self.options.backoff.saturating_mul(failures).min(self.options.max_backoff);
                    Pause::Until(self.client.clock().boot().plus(wait))
                }
                Err(error) => return Err(error),
            };
            let waiting = async {
                match pause {
                    Pause::UntilNews(wake) => self.wait(wake).await,
                    Pause::Until(moment) => self.wait_whole(moment).await,
                }
            };
            futures::pin_mut!(waiting);
            if let futures::future::Either::Left(_) = futures::future::select(stop.as_mut(), waiting).await {
                return Ok(());
            }
        }
    }

    /// Returns when another step may find something to do: an effect has ended, the log has grown, or it is `wake`.
    pub async fn wait(&mut self, wake: Option<Boot>) {
        if !self.done.is_empty() {
            return;
        }
        let store = Arc::clone(self.client.store());
        let clock = Arc::clone(self.client.clock());
        let seq = self.client.state().seq();
        let grown = store.wait(seq);
        let slept = async move {
            match wake {
                Some(moment) => clock.sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        futures::pin_mut!(grown, slept);
        std::future::poll_fn(|context| {
            let mut is_ready = false;
            while let Poll::Ready(Some(ended)) = self.effects.poll_next_unpin(context) {
                // Nobody waits for a folder to be empty, but for the last one: then nothing is left to do.
                let is_news = matches!(&ended, Ok(done) if !matches!(done.outcome, Outcome::Released));
                if let Ok(done) = ended {
                    if is_news {
                        self.done.push(done);
                    } else {
                        self.in_flight.remove(&done.key);
                    }
                }
                is_ready |= is_news || self.in_flight.len() <= self.ports.providers.len();
            }
            if is_ready || grown.as_mut().poll(context).is_ready() || slept.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    /// Returns at this moment, whatever is news until then: it cannot be recorded. What is under way goes on.
    async fn wait_whole(&mut self, moment: Boot) {
        let clock = Arc::clone(self.client.clock());
        let slept = clock.sleep_until(moment);
        futures::pin_mut!(slept);
        std::future::poll_fn(|context| {
            while let Poll::Ready(Some(ended)) = self.effects.poll_next_unpin(context) {
                self.done.extend(ended);
            }
            slept.as_mut().poll(context)
        })
        .await;
    }

    /// Takes in what has ended without waiting for anything.
    pub(super) async fn drain_effects(&mut self) {
        std::future::poll_fn(|context| {
            while let Poll::Ready(Some(ended)) = self.effects.poll_next_unpin(context) {
                self.done.extend(ended);
            }
            Poll::Ready(())
        })
        .await;
    }

    pub(super) fn spawn(&mut self, key: EffectKey, effect: impl Future<Output = Outcome> + Send + 'static) {
        let (handle, registration) = AbortHandle::new_pair();
        let done_key = key.clone();
        let work = async move { Done { key: done_key, outcome: effect.await } };
        self.effects.push(Box::pin(Abortable::new(work, registration)));
        self.in_flight.insert(key, handle);
    }

    pub(super) fn abort(&mut self, key: &EffectKey) {
        if let Some(handle) = self.in_flight.remove(key) {
            handle.abort();
        }
    }

    /// Log time on our clock that counts suspension, from here on until the next step.
    pub(super) fn boot_of(&self, at: At) -> Boot {
        self.now_boot.plus(at.since(self.now).to_std())
    }
}

fn is_transient(error: &ControllerError) -> bool {
    match error {
        ControllerError::Client(ClientError::Append(
            AppendError::Unknown(_)
            | AppendError::Conflict { .. }
            | AppendError::Full
            | AppendError::Store(StoreError::Unreachable(_)),
        ))
        | ControllerError::Client(ClientError::Store(StoreError::Unreachable(_)))
        | ControllerError::Store(StoreError::Unreachable(_)) => true,
        ControllerError::Client(_) | ControllerError::Store(_) | ControllerError::ReadOnly(_) => false,
    }
}
