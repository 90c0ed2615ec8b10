//! A log in memory, for tests, simulations and programs that need no history.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{AppendError, Appended, EventStore, Head, Past, PastId, RunRow, Snapshot, StoreError};
use crate::clock::Clock;
use crate::model::{AppendId, At, Batch, Content, Event, Name, Record, RecordHash, RunnerId, Seq};
use crate::planted::{self, Bug};

/// A log in memory. Clones of the `Arc` around it, and handles made by [`MemoryStore::handle`], share one log.
pub struct MemoryStore {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

struct Shared {
    log: Mutex<Log>,
    newest: watch::Sender<Seq>,
}

#[derive(Default)]
struct Log {
    records: Vec<Record>,
    /// First and last place of each append.
    appends: BTreeMap<AppendId, (Seq, Seq)>,
    /// What the newest `ClockStepped` says.
    offset_us: i64,
    runs: Vec<RunRow>,
    snapshot: Option<Snapshot>,
    /// In the order in which they were kept.
    past: Vec<KeptPast>,
}

/// What has left the state, and of which log and version that is true.
struct KeptPast {
    version: u32,
    seq: Seq,
    hash: RecordHash,
    past: Past,
}

impl MemoryStore {
    /// An empty log whose time comes from this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shared = Shared { log: Mutex::new(Log::default()), newest: watch::Sender::new(Seq::START) };
        Self { shared: Arc::new(shared), clock }
    }

    /// Another handle on the same log, with a clock of its own: what another process would have.
    #[must_use]
    pub fn handle(&self, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::clone(&self.shared), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn record(&self, seq: Seq) -> Option<&Record> {
        let index = usize::try_from(seq.get()).ok()?.checked_sub(1)?;
        self.records.get(index)
    }

    /// What was kept of this version and this log, the newest first.
    fn past(&self, version: u32) -> impl Iterator<Item = &Past> {
        let fits = move |kept: &&KeptPast| kept.version == version && self.hash_at(kept.seq) == Some(kept.hash);
        self.past.iter().rev().filter(fits).map(|kept| &kept.past)
    }

    fn hash_at(&self, seq: Seq) -> Option<RecordHash> {
        if seq == Seq::START { Some(RecordHash::START) } else { self.record(seq).map(|record| record.hash) }
    }

    fn head(&self, clock: &dyn Clock) -> Head {
        let stepped = At::from_micros(clock.wall_micros().saturating_add(self.offset_us));
        self.records.last().map_or(Head { seq: Seq::START, hash: RecordHash::START, now: stepped }, |newest| Head {
            seq: newest.seq,
            hash: newest.hash,
            now: newest.at.max(stepped),
        })
    }

    /// The append with the batch's id, if there is one: it must hold the same bytes, which its hashes prove.
    fn recognise(&self, batch: &Batch) -> Result<Option<Appended>, AppendError> {
        let Some((first, last)) = self.appends.get(&batch.append).copied() else { return Ok(None) };
        let newest = self.record(last).expect("appends are of records that are here");
        let before = Seq::new(first.get() - 1);
        let mut hash = self.hash_at(before).expect("places are gapless");
        let mut seq = before;
        for (index, event) in (0..).zip(&batch.events) {
            seq = seq.next();
            hash = hash.next(seq, newest.at, batch.append, index, event);
        }
        if hash != newest.hash {
            return Err(AppendError::IdReused(batch.append));
        }
        Ok(Some(Appended { first, head: Head { seq: last, hash, now: newest.at } }))
    }

    fn push_all(&mut self, before: Head, batch: &Batch) -> Appended {
        let (mut seq, mut hash) = (before.seq, before.hash);
        for (index, event) in (0..).zip(&batch.events) {
            seq = seq.next();
            hash = hash.next(seq, before.now, batch.append, index, event);
            let content = Event::decode(&event.kind, event.version, &event.json);
            match &content {
                Ok(Event::ClockStepped(step)) => self.offset_us = step.offset_us,
                Ok(Event::RunSubmitted(run)) => {
                    self.runs.push(RunRow { run: run.run, name: run.name.clone(), submitted: seq });
                }
                _ => {}
            }
            let content = content.map_or_else(Content::Unknown, Content::Known);
            self.records.push(Record { seq, at: before.now, append: batch.append, hash, content });
        }
        let first = before.seq.next();
        self.appends.insert(batch.append, (first, seq));
        Appended { first, head: Head { seq, hash, now: before.now } }
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.lock().head(&*self.clock))
    }

    async fn append(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        if batch.events.is_empty() || !batch.is_within_bounds() {
            return Err(AppendError::TooLarge);
        }
        let mut log = self.lock();
        if let Some(known) = log.recognise(batch)? {
            return Ok(known);
        }
        let head = log.head(&*self.clock);
        if head.seq != expected && !planted::is(Bug::ConflictIgnored) {
            return Err(AppendError::Conflict { head });
        }
        let appended = log.push_all(head, batch);
        drop(log);
        self.shared.newest.send_modify(|newest| *newest = appended.head.seq.max(*newest));
        Ok(appended)
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        let log = self.lock();
        let start = usize::try_from(after.get()).unwrap_or(usize::MAX).min(log.records.len());
        let end = start.saturating_add(limit).min(log.records.len());
        Ok(log.records[start..end].to_vec())
    }

    async fn wait(&self, after: Seq) {
        let mut newest = self.shared.newest.subscribe();
        // The sender lives as long as this store does.
        let _ = newest.wait_for(|newest| *newest > after).await;
    }

    async fn load_snapshot(&self, version: u32) -> Result<Option<Snapshot>, StoreError> {
        let log = self.lock();
        let fits =
            |snapshot: &&Snapshot| snapshot.version == version && log.hash_at(snapshot.seq) == Some(snapshot.hash);
        Ok(log.snapshot.as_ref().filter(fits).cloned())
    }

    async fn save_snapshot(&self, snapshot: &Snapshot, past: &[Past]) -> Result<(), StoreError> {
        let mut log = self.lock();
        log.snapshot = Some(snapshot.clone());
        for one in past {
            let kept =
                KeptPast { version: snapshot.version, seq: snapshot.seq, hash: snapshot.hash, past: one.clone() };
            log.past.retain(|other| (other.version, other.past.id) != (kept.version, kept.past.id));
            log.past.push(kept);
        }
        Ok(())
    }

    async fn load_past(&self, version: u32, id: PastId) -> Result<Option<Vec<u8>>, StoreError> {
        let log = self.lock();
        Ok(log.past(version).find(|past| past.id == id).map(|past| past.bytes.clone()))
    }

    async fn past_runners(&self, version: u32, limit: usize) -> Result<Vec<(RunnerId, Vec<u8>)>, StoreError> {
        let log = self.lock();
        let runners = log.past(version).filter_map(|past| match past.id {
            PastId::Runner(id) => Some((id, past.bytes.clone())),
            PastId::Run(_) => None,
        });
        Ok(runners.take(limit).collect())
    }

    async fn runs(&self, name: Option<&Name>, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        let log = self.lock();
        let wanted = |run: &&RunRow| name.is_none_or(|name| run.name == *name);
        Ok(log.runs.iter().rev().filter(wanted).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::laws::LogMaker;

    struct Maker(MemoryStore);

    #[async_trait]
    impl LogMaker for Maker {
        async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore> {
            Arc::new(self.0.handle(clock))
        }
    }

    crate::event_store_laws!(Maker(MemoryStore::new(Arc::new(crate::clock::VirtualClock::new(1)))));
}
