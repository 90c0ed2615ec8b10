//! A log that holds appends as a database does, and loses some of them on their way to the disk.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::cloud::Draw;
use crate::model::{AppendId, Batch, Name, Record, Seq};
use crate::store::{AppendError, Appended, EventStore, Head, MemoryStore, RunRow, Snapshot, StoreError};

/// What happens to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the log, and that is said.
    Done,
    /// It is in the log, and that is not known.
    InDoubt,
    /// It is not in the log, and that is not known.
    Lost,
}

/// One handle of a process. What it holds is in no other's log before it is settled.
pub struct ShakyStore {
    inner: Arc<MemoryStore>,
    state: Mutex<State>,
}

/// Chooses what happens to a commit, given the ids of its appends.
type Choice = Box<dyn FnMut(&[AppendId]) -> Fate + Send>;

struct State {
    held: Vec<(Seq, Batch)>,
    fate: Choice,
}

impl ShakyStore {
    /// On this log; `fate` is asked for each commit, with the ids of its appends.
    pub fn new(inner: Arc<MemoryStore>, fate: impl FnMut(&[AppendId]) -> Fate + Send + 'static) -> Self {
        Self { inner, state: Mutex::new(State { held: Vec::new(), fate: Box::new(fate) }) }
    }

    /// By chance: of a hundred commits so many end badly, half of them in the log.
    pub fn by_chance(inner: Arc<MemoryStore>, seed: u64, percent: u64) -> Self {
        let mut draw = Draw::new(seed);
        Self::new(inner, move |_| match draw.below(200) {
            bad if bad < percent => Fate::Lost,
            bad if bad < 2 * percent => Fate::InDoubt,
            _ => Fate::Done,
        })
    }

    async fn commit(&self, last: Option<(Seq, &Batch)>) -> Result<Option<Appended>, AppendError> {
        let (mut batches, fate) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let mut batches = std::mem::take(&mut state.held);
            batches.extend(last.map(|(expected, batch)| (expected, batch.clone())));
            if batches.is_empty() {
                return Ok(None);
            }
            let ids: Vec<_> = batches.iter().map(|(_, batch)| batch.append).collect();
            let fate = (state.fate)(&ids);
            (batches, fate)
        };
        let doubt = || AppendError::Unknown(std::io::Error::other("the disk is gone").into());
        if fate == Fate::Lost {
            return Err(doubt());
        }
        let last = batches.pop();
        for (expected, batch) in batches {
            self.inner.append(expected, &batch).await?;
        }
        let Some((expected, batch)) = last else { return Ok(None) };
        let appended = self.inner.append(expected, &batch).await?;
        if fate == Fate::InDoubt { Err(doubt()) } else { Ok(Some(appended)) }
    }

    /// Where the log ends for this handle.
    async fn end(&self) -> Result<Head, StoreError> {
        let mut head = self.inner.head().await?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, batch) in &state.held {
            for (index, event) in (0..).zip(&batch.events) {
                head.seq = head.seq.next();
                head.hash = head.hash.next(head.seq, head.now, batch.append, index, event);
            }
        }
        Ok(head)
    }
}

#[async_trait]
impl EventStore for ShakyStore {
    async fn head(&self) -> Result<Head, StoreError> {
        self.inner.head().await
    }

    async fn append(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        let head = self.end().await?;
        if head.seq != expected {
            self.commit(None).await?;
            return self.inner.append(expected, batch).await;
        }
        let appended = self.commit(Some((expected, batch))).await?;
        Ok(appended.expect("there was something to commit"))
    }

    async fn append_held(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        let mut head = self.end().await?;
        if head.seq != expected {
            self.commit(None).await?;
            return self.inner.append(expected, batch).await;
        }
        for (index, event) in (0..).zip(&batch.events) {
            head.seq = head.seq.next();
            head.hash = head.hash.next(head.seq, head.now, batch.append, index, event);
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).held.push((expected, batch.clone()));
        Ok(Appended { first: expected.next(), head })
    }

    async fn settle(&self) -> Result<(), AppendError> {
        self.commit(None).await.map(|_| ())
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.inner.read(after, limit).await
    }

    async fn wait(&self, after: Seq) {
        self.inner.wait(after).await;
    }

    async fn load_snapshot(&self, version: u32) -> Result<Option<Snapshot>, StoreError> {
        self.inner.load_snapshot(version).await
    }

    async fn save_snapshot(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.inner.save_snapshot(snapshot).await
    }

    async fn runs(&self, name: Option<&Name>, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        self.inner.runs(name, limit).await
    }
}
