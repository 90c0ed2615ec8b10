//! A handle of a faulty log as its user holds it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::StoreFaults;
use super::commit_fate::{Choice, CommitFate};
use super::shared::{Acknowledged, Shared};
use crate::clock::Clock;
use crate::cloud::{Gate, NoWait};
use crate::model::{AppendId, Batch, Seq};
use crate::store::{AppendError, Appended, EventStore, Head, StoreError};

/// One process's handle on a log that fails as logs do, around a log that does not.
///
/// It holds appends as a database holds them in an open transaction: what was held is in nobody's log before it is settled,
/// and is lost when the handle is dropped, as in a crash. Faults come by chance ([`StoreFaults`]) and to order
/// ([`with_fates`](Self::with_fates)). Handles made by [`handle`](Self::handle) share faults, chance and counts.
///
/// ```
/// use std::sync::Arc;
///
/// use dstack_core::clock::{Clock, VirtualClock};
/// use dstack_core::model::event::AutoscalingEnabled;
/// use dstack_core::model::{AppendId, Batch, Seq};
/// use dstack_core::store::{AppendError, CommitFate, EventStore, FaultyStore, MemoryStore};
/// use futures::FutureExt;
///
/// let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(7));
/// let log = Arc::new(MemoryStore::new(clock.clone()));
/// let store = FaultyStore::new(log.clone(), clock, 7).with_fates(|_| CommitFate::InDoubt);
///
/// // The append is in the log, and its caller never hears of it.
/// let batch = Batch::new(AppendId::from_bytes([1; 16]), &[AutoscalingEnabled {}.into()]);
/// let outcome = store.append(Seq::START, &batch).now_or_never().expect("nothing delays it");
/// assert!(matches!(outcome, Err(AppendError::Unknown(_))));
/// assert_eq!(log.head().now_or_never().expect("nothing delays it")?.seq, Seq::new(1));
/// # Ok::<(), dstack_core::store::StoreError>(())
/// ```
pub struct FaultyStore {
    pub(super) inner: Arc<dyn EventStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<Shared>,
    state: Mutex<State>,
}

pub(super) struct State {
    /// Appends that are held, each with its place.
    pub(super) held: Vec<(Seq, Batch)>,
    fate: Option<Choice>,
    /// The newest place that the caller has seen.
    pub(super) seen: Seq,
    /// Where the log ends in the view that the caller has, if that is not the newest.
    pub(super) view: Option<Seq>,
}

pub(super) fn doubt(words: &'static str) -> AppendError {
    AppendError::Unknown(std::io::Error::other(words).into())
}

impl FaultyStore {
    /// A handle on this log, without faults.
    pub fn new(inner: Arc<dyn EventStore>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::with_shared(inner, clock, Arc::new(Shared::new(Arc::new(NoWait), seed)))
    }

    fn with_shared(inner: Arc<dyn EventStore>, clock: Arc<dyn Clock>, shared: Arc<Shared>) -> Self {
        let state = State { held: Vec::new(), fate: None, seen: Seq::START, view: None };
        Self { inner, clock, shared, state: Mutex::new(state) }
    }

    /// Every call passes this gate before its effect and before its reply.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<dyn Gate>) -> Self {
        let seed = self.shared.with(|common| common.draw.bits());
        let shared = Shared::new(gate, seed);
        shared.with(|common| common.faults = self.faults());
        self.shared = Arc::new(shared);
        self
    }

    /// Faults by chance from the start.
    #[must_use]
    pub fn with_faults(self, faults: StoreFaults) -> Self {
        self.set_faults(faults);
        self
    }

    /// This decides what becomes of each commit of this handle, given the ids of its appends.
    #[must_use]
    pub fn with_fates(self, fate: impl FnMut(&[AppendId]) -> CommitFate + Send + 'static) -> Self {
        self.lock().fate = Some(Box::new(fate));
        self
    }

    /// What another process has: its own `inner` handle on the same log and its own clock, with the faults of this one.
    #[must_use]
    pub fn handle(&self, inner: Arc<dyn EventStore>, clock: Arc<dyn Clock>) -> Self {
        Self::with_shared(inner, clock, Arc::clone(&self.shared))
    }

    /// The faults by chance.
    pub fn faults(&self) -> StoreFaults {
        self.shared.with(|common| common.faults.clone())
    }

    /// Changes the faults by chance, for all handles.
    pub fn set_faults(&self, faults: StoreFaults) {
        self.shared.with(|common| {
            common.faults = faults;
            if common.faults.busy == 0 {
                common.busy_until = crate::clock::Boot::default();
            }
        });
    }

    /// How often each fault came about, under the name of its field in [`StoreFaults`]. `conflict` counts appends at a place
    /// that the log has left behind, `held_lost` handles that were dropped with appends held.
    pub fn hits(&self) -> BTreeMap<&'static str, u64> {
        self.shared.with(|common| common.draw.hits().clone())
    }

    /// Takes out the appends that were acknowledged on any handle since this was asked last.
    pub fn take_acknowledged(&self) -> Vec<Acknowledged> {
        self.shared.with(|common| std::mem::take(&mut common.acknowledged))
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self, ids: &[AppendId]) -> CommitFate {
        if let Some(fate) = &mut self.lock().fate {
            return fate(ids);
        }
        self.shared.with(|common| {
            let (lost, in_doubt) = (common.faults.append_lost, common.faults.ack_lost);
            if common.draw.befalls("append_lost", lost) {
                CommitFate::Lost
            } else if common.draw.befalls("ack_lost", in_doubt) {
                CommitFate::InDoubt
            } else {
                CommitFate::Done
            }
        })
    }

    /// Puts what is held into the log, and this after it.
    pub(super) async fn commit(&self, last: Option<(Seq, &Batch)>) -> Result<Option<Appended>, AppendError> {
        let held = std::mem::take(&mut self.lock().held);
        if held.is_empty() && last.is_none() {
            return Ok(None);
        }
        let ids: Vec<_> =
            held.iter().map(|(_, batch)| batch.append).chain(last.map(|(_, batch)| batch.append)).collect();
        let fate = self.fate(&ids);
        if fate == CommitFate::Lost {
            return Err(doubt("the disk is gone"));
        }
        let mut told = Vec::with_capacity(ids.len());
        for (expected, batch) in held {
            match self.inner.append(expected, &batch).await {
                Ok(appended) if appended.first == expected.next() => {
                    told.push(Acknowledged { append: batch.append, last: appended.head.seq });
                }
                // It was in the log before, elsewhere: what was said of its place was wrong.
                Ok(_) => return Err(doubt("what was held is lost")),
                // Somebody else has filled its place: that is not for the caller of this append to hear.
                Err(AppendError::Conflict { .. }) => return Err(doubt("what was held is lost")),
                Err(error) => return Err(error),
            }
        }
        let appended = match last {
            Some((expected, batch)) => {
                let appended = self.inner.append(expected, batch).await;
                if matches!(appended, Err(AppendError::Conflict { .. })) {
                    self.shared.with(|common| common.draw.hit("conflict"));
                }
                if fate == CommitFate::Done || appended.is_err() {
                    self.tell(told.drain(..));
                }
                let appended = appended?;
                told.push(Acknowledged { append: batch.append, last: appended.head.seq });
                Some(appended)
            }
            None => None,
        };
        if fate == CommitFate::InDoubt {
            return Err(doubt("the acknowledgement was lost"));
        }
        self.tell(told.into_iter());
        Ok(appended)
    }

    pub(super) fn tell(&self, told: impl Iterator<Item = Acknowledged>) {
        let told: Vec<_> = told.collect();
        if let Some(newest) = told.iter().map(|told| told.last).max() {
            let mut state = self.lock();
            state.seen = state.seen.max(newest);
        }
        self.shared.with(|common| common.acknowledged.extend(told));
    }

    /// Where the log ends for this handle, what it holds included.
    pub(super) async fn end(&self) -> Result<Head, StoreError> {
        let mut head = self.inner.head().await?;
        for (_, batch) in &self.lock().held {
            head = after(head, batch);
        }
        Ok(head)
    }
}

/// Where the log ends after this batch.
pub(super) fn after(mut head: Head, batch: &Batch) -> Head {
    for (index, event) in (0..).zip(&batch.events) {
        head.seq = head.seq.next();
        head.hash = head.hash.next(head.seq, head.now, batch.append, index, event);
    }
    head
}

impl Drop for FaultyStore {
    fn drop(&mut self) {
        if !self.lock().held.is_empty() {
            self.shared.with(|common| common.draw.hit("held_lost"));
        }
    }
}
