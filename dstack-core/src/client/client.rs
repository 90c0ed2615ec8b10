//! Reading the log and asking for things: what every consumer needs, controllers included.

use std::sync::Arc;
use std::time::Duration;

use super::past::Recent;
use crate::clock::Clock;
use crate::model::event::LogCreated;
use crate::model::record::{MAX_BATCH_BYTES, MAX_RECORD_BYTES};
use crate::model::state::STATE_VERSION;
use crate::model::{AppendId, Batch, Command, Content, Event, LogId, Record, Rejection, RunId, Seq, State, decide};
use crate::planted::{self, Bug};
use crate::store::{AppendError, Appended, EventStore, Head, Snapshot, StoreError};

/// Records that are read at once.
const READ_LIMIT: usize = 10_000;
/// How often a decision is made anew because others were faster, before the caller is told.
const MAX_CONFLICTS: u32 = 1_000;
/// How often an append whose outcome is not known is sent again.
const MAX_RESENDS: u32 = 5;
/// How much longer each time it is waited before that.
const RESEND_WAIT: Duration = Duration::from_millis(50);
/// Records since the newest snapshot after which another is worth its while.
const SNAPSHOT_EVERY: u64 = 1_000;
/// Or so many for each workflow of the runs that are not over, if that is more.
const RECORDS_EACH: u64 = 2;

/// Why something that was asked for did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It is not allowed, or makes no sense. Nothing has happened.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log cannot be appended to, or whether it was is not known.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// A view of a log that follows it, and the way to append to it.
pub struct Client {
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    state: State,
    snapshot: Seq,
    pub(super) recent: Recent,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("seq", &self.state.seq()).finish_non_exhaustive()
    }
}

impl Client {
    /// A view of this log that has read nothing yet.
    pub fn new(store: Arc<dyn EventStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, state: State::default(), snapshot: Seq::START, recent: Recent::default() }
    }

    /// The state as of the newest record that was read.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The log.
    pub const fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// Time and entropy.
    pub const fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Reads to the end of the log; returns where it ends and the time there.
    ///
    /// # Errors
    /// When the log cannot be read, or holds a record that was changed.
    pub async fn refresh(&mut self) -> Result<Head, StoreError> {
        self.refresh_with(|_| {}).await
    }

    /// Reads to the end of the log and shows each new record, after the state has taken it in.
    ///
    /// # Errors
    /// When the log cannot be read, or holds a record that was changed.
    pub async fn refresh_with(&mut self, mut show: impl FnMut(&Record)) -> Result<Head, StoreError> {
        let head = self.store.head().await?;
        let is_other = head.seq == self.state.seq() && head.hash != self.state.hash();
        if head.seq < self.state.seq() || is_other {
            // What was held was lost on its way to the disk.
            self.forget();
        }
        if self.state.seq() == Seq::START && head.seq > Seq::START {
            self.load_snapshot().await?;
        }
        while self.state.seq() < head.seq {
            let records = self.store.read(self.state.seq(), READ_LIMIT).await?;
            if records.is_empty() {
                let why = "it cannot be read, though the log goes on beyond it".to_owned();
                return Err(StoreError::Corrupt { seq: self.state.seq().next(), why });
            }
            for record in &records {
                let left = self.state.apply(record);
                self.recent.extend(left);
                show(record);
            }
        }
        Ok(head)
    }

    /// Appends what carries the command out. Where others were faster, it is decided anew on what they did.
    ///
    /// Returns the records that were appended: none when everything was so already.
    ///
    /// # Errors
    /// When the command is rejected, or the log cannot be used.
    pub async fn command(&mut self, command: Command) -> Result<Vec<Record>, ClientError> {
        self.create_log().await?;
        let append = AppendId::from_entropy(self.clock.entropy());
        for _ in 0..MAX_CONFLICTS {
            // The state may be behind: what it rejects is looked at again on the newest one.
            self.refresh().await?;
            let events = decide(&self.state, command.clone())?;
            if events.is_empty() {
                return Ok(Vec::new());
            }
            match self.append(append, &events).await {
                Ok(records) => return Ok(records),
                Err(ClientError::Append(AppendError::Conflict { .. })) => {}
                Err(ClientError::Append(AppendError::Unknown(error))) => {
                    match self.learn(append, &events, error).await {
                        // It is not in the log, and others were faster.
                        Err(ClientError::Append(AppendError::Conflict { .. })) => {}
                        outcome => return outcome,
                    }
                }
                Err(ClientError::Append(AppendError::TooLarge)) => return Err(too_large(&events)),
                Err(error) => return Err(error),
            }
        }
        Err(ClientError::Append(AppendError::Conflict { head: self.store.head().await? }))
    }

    /// What became of an append whose outcome is not known: the same batch is sent again until the log says.
    ///
    /// It must not be decided anew: it may be in the log, and would then be carried out twice.
    async fn learn(
        &mut self,
        append: AppendId,
        events: &[Event],
        mut unknown: Box<dyn std::error::Error + Send + Sync>,
    ) -> Result<Vec<Record>, ClientError> {
        for attempt in 1..=MAX_RESENDS {
            self.clock.sleep_until(self.clock.boot().plus(RESEND_WAIT * attempt)).await;
            match self.append(append, events).await {
                Err(ClientError::Append(AppendError::Unknown(error))) => unknown = error,
                outcome => return outcome,
            }
        }
        Err(ClientError::Append(AppendError::Unknown(unknown)))
    }

    /// Appends events at the place that the state stands at, and takes them in.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] when the log has moved on; any other when it cannot be used.
    pub async fn append(&mut self, append: AppendId, events: &[Event]) -> Result<Vec<Record>, ClientError> {
        self.append_at(self.state.seq(), append, events).await
    }

    /// Appends events at a place where the state stood, unless the log has moved on, and takes them in.
    ///
    /// # Errors
    /// As [`Client::append`].
    pub(crate) async fn append_at(
        &mut self,
        expected: Seq,
        append: AppendId,
        events: &[Event],
    ) -> Result<Vec<Record>, ClientError> {
        self.check_readable()?;
        let batch = Batch::new(append, events);
        let appended = self.store.append(expected, &batch).await?;
        self.take_in(&batch, events, &appended).await
    }

    /// Appends as [`Client::append`] does and takes the events in, but may leave it to the next append, or to
    /// [`Client::settle`], to make them durable. If that fails, call [`Client::forget`].
    ///
    /// # Errors
    /// As [`Client::append`].
    pub(crate) async fn append_held(&mut self, append: AppendId, events: &[Event]) -> Result<Vec<Record>, ClientError> {
        self.check_readable()?;
        let batch = Batch::new(append, events);
        let appended = self.store.append_held(self.state.seq(), &batch).await?;
        self.take_in(&batch, events, &appended).await
    }

    /// Whoever cannot read all of a log writes nothing to it, however it came to read what it cannot.
    fn check_readable(&self) -> Result<(), Rejection> {
        match self.state.unreadable() {
            Some(why) if !planted::is(Bug::ReadOnlyIgnored) => Err(Rejection::ReadOnly(why.to_owned())),
            Some(_) | None => Ok(()),
        }
    }

    /// Makes durable what was held.
    ///
    /// # Errors
    /// When all that was held may or may not be in the log.
    pub(crate) async fn settle(&self) -> Result<(), ClientError> {
        Ok(self.store.settle().await?)
    }

    /// Forgets what was read: the next refresh reads all of the log again.
    pub(crate) fn forget(&mut self) {
        self.state = State::default();
        self.snapshot = Seq::START;
        self.recent = Recent::default();
    }

    async fn take_in(
        &mut self,
        batch: &Batch,
        events: &[Event],
        appended: &Appended,
    ) -> Result<Vec<Record>, ClientError> {
        let append = batch.append;
        if let Some(records) = self.records_of(batch, events, appended) {
            let left = self.state.apply_all(&records);
            self.recent.extend(left);
            return Ok(records);
        }
        // It was in the log already, at an earlier place: what the log holds decides.
        let mut records = Vec::with_capacity(events.len());
        let head = self.refresh_with(|record| {
            if record.append == append {
                records.push(record.clone());
            }
        });
        head.await?;
        Ok(records)
    }

    /// The records that the store has made of a batch right after our state, without asking it for them again: their hashes
    /// follow from the chain, and the last one must be the store's.
    fn records_of(&self, batch: &Batch, events: &[Event], appended: &Appended) -> Option<Vec<Record>> {
        if appended.first != self.state.seq().next() {
            return None;
        }
        let (mut seq, mut hash) = (self.state.seq(), self.state.hash());
        let at = appended.head.now;
        let made = (0..).zip(batch.events.iter().zip(events)).map(|(index, (encoded, event))| {
            seq = seq.next();
            hash = hash.next(seq, at, batch.append, index, encoded);
            Record { seq, at, append: batch.append, hash, content: Content::Known(event.clone()) }
        });
        let records: Vec<_> = made.collect();
        (hash == appended.head.hash && seq == appended.head.seq).then_some(records)
    }

    /// Makes the first record of an empty log.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn create_log(&mut self) -> Result<(), ClientError> {
        if self.state.log().is_some() {
            return Ok(());
        }
        self.refresh().await?;
        while self.state.log().is_none() {
            let log = LogId::from_entropy(self.clock.entropy());
            let append = AppendId::from_entropy(self.clock.entropy());
            match self.append(append, &[LogCreated { log }.into()]).await {
                Ok(_) => {}
                Err(ClientError::Append(AppendError::Conflict { .. })) => {
                    self.refresh().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A run's id, minted for a submission.
    pub fn mint_run(&self) -> RunId {
        RunId::from_entropy(self.clock.entropy())
    }

    async fn load_snapshot(&mut self) -> Result<(), StoreError> {
        let Some(snapshot) = self.store.load_snapshot(STATE_VERSION).await? else { return Ok(()) };
        if let Some(state) = State::from_snapshot(&snapshot) {
            self.snapshot = snapshot.seq;
            self.state = state;
        }
        Ok(())
    }

    /// Keeps a snapshot if enough has happened since the last one, and what has left the state beside it. Failing costs
    /// only time.
    ///
    /// A snapshot of a large state is worth its while later than one of a small state: all of them together cost a bounded
    /// part of what the records cost.
    pub async fn save_snapshot_if_worth(&mut self) {
        let since = self.state.seq().get().saturating_sub(self.snapshot.get());
        if since < SNAPSHOT_EVERY {
            return;
        }
        let size = self.state.open_runs().map(|(_, run)| run.workflows.len()).sum::<usize>();
        if since < u64::try_from(size).unwrap_or(u64::MAX).saturating_mul(RECORDS_EACH) {
            return;
        }
        match self.store.save_snapshot(&self.state.to_snapshot(), &self.recent.to_past()).await {
            Ok(()) => self.recent = Recent::default(),
            Err(error) => tracing::warn!(%error, "no snapshot could be kept"),
        }
        self.snapshot = self.state.seq();
    }
}

/// What is beyond the bounds of one append, in words of who submitted it.
fn too_large(events: &[Event]) -> ClientError {
    let mut bytes = 0;
    for event in events {
        let length = event.encode().json.len();
        bytes += length;
        if let (true, Event::WorkflowSubmitted(event)) = (length > MAX_RECORD_BYTES, event) {
            let workflow = event.spec.name.clone();
            return Rejection::WorkflowTooLarge { workflow, bytes: length, most: MAX_RECORD_BYTES }.into();
        }
    }
    if bytes > MAX_BATCH_BYTES {
        return Rejection::RunTooLarge { bytes, most: MAX_BATCH_BYTES }.into();
    }
    ClientError::Append(AppendError::TooLarge)
}

impl State {
    /// The state as it is kept beside the log.
    pub fn to_snapshot(&self) -> Snapshot {
        let bytes = serde_json::to_vec(self).expect("a state holds nothing that JSON cannot say");
        Snapshot { version: STATE_VERSION, seq: self.seq(), hash: self.hash(), bytes }
    }

    /// The state of a snapshot; none when it cannot be read, for then the log is read.
    pub fn from_snapshot(snapshot: &Snapshot) -> Option<Self> {
        let mut state: Self = serde_json::from_slice(&snapshot.bytes).ok()?;
        if !planted::is(Bug::SnapshotForgets) {
            state.hash = snapshot.hash;
        }
        (state.seq() == snapshot.seq).then(|| state.rebuild_indexes())
    }
}
