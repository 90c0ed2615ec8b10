//! The faulty log behind the port.

use async_trait::async_trait;

use super::FaultyStore;
use super::faulty_store::after;
use super::shared::Acknowledged;
use crate::cloud::{GatePoint, Moment};
use crate::model::{Batch, Name, Record, RecordHash, RunnerId, Seq};
use crate::store::{AppendError, Appended, EventStore, Head, Past, PastId, RunRow, Snapshot, StoreError};

fn unreachable(words: &'static str) -> StoreError {
    StoreError::Unreachable(std::io::Error::other(words).into())
}

impl FaultyStore {
    async fn pass(&self, call: &'static str, moment: Moment) {
        self.shared.gate.pass(GatePoint { call, subject: String::new(), moment }).await;
    }

    /// What any call may fail with.
    async fn enter(&self, call: &'static str) -> Result<(), StoreError> {
        self.pass(call, Moment::BeforeEffect).await;
        let now = self.clock.boot();
        self.shared.with(|common| {
            let faults = common.faults.clone();
            if common.draw.befalls("busy", faults.busy) {
                common.busy_until = now.plus(common.draw.span(faults.busy_most).to_std());
            }
            if now < common.busy_until {
                common.draw.hit("found_busy");
                return Err(unreachable("the log is busy"));
            }
            if common.draw.befalls("unreachable", faults.unreachable) {
                return Err(unreachable("the log does not answer"));
            }
            if common.draw.befalls("unusable", faults.unusable) {
                return Err(StoreError::Unusable("the log's file is read-only".to_owned()));
            }
            Ok(())
        })
    }

    /// Any other use of the log commits what is held, too.
    async fn commit_held(&self) -> Result<(), StoreError> {
        self.commit(None).await.map(|_| ()).map_err(|_| unreachable("what was held may be lost"))
    }

    async fn enter_append(&self, call: &'static str) -> Result<(), AppendError> {
        self.enter(call).await?;
        let slow = self.shared.with(|common| {
            let faults = common.faults.clone();
            if common.draw.befalls("full", faults.full) {
                return Err(AppendError::Full);
            }
            Ok(common.draw.befalls("slow", faults.slow).then(|| common.draw.span(faults.slow_most)))
        })?;
        if let Some(length) = slow {
            self.clock.sleep_until(self.clock.boot().plus(length.to_std())).await;
        }
        Ok(())
    }

    /// At a place that the log has left behind: a conflict, or an append that is there already. Nothing is committed for it.
    async fn append_behind(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        self.commit(None).await?;
        let outcome = self.inner.append(expected, batch).await;
        match &outcome {
            Ok(appended) => self.tell(std::iter::once(Acknowledged { append: batch.append, last: appended.head.seq })),
            Err(AppendError::Conflict { .. }) => self.shared.with(|common| common.draw.hit("conflict")),
            Err(_) => {}
        }
        outcome
    }

    /// The head as it was some records ago, but not before what the caller has seen.
    async fn stale(&self, newest: Head) -> Result<Head, StoreError> {
        let seen = self.lock().seen;
        let missed = newest.seq.get().saturating_sub(seen.get());
        let is_stale = missed > 0
            && self.shared.with(|common| {
                let rate = common.faults.stale;
                common.draw.befalls("stale", rate)
            });
        if !is_stale {
            self.lock().view = None;
            return Ok(newest);
        }
        let kept = self.shared.with(|common| common.draw.below(missed));
        let seq = Seq::new(seen.get() + kept);
        self.lock().view = Some(seq);
        if seq == Seq::START {
            return Ok(Head { seq, hash: RecordHash::START, now: newest.now });
        }
        let records = self.inner.read(Seq::new(seq.get() - 1), 1).await?;
        Ok(records.first().map_or(newest, |record| Head { seq, hash: record.hash, now: newest.now }))
    }
}

#[async_trait]
impl EventStore for FaultyStore {
    async fn head(&self) -> Result<Head, StoreError> {
        self.enter("head").await?;
        self.commit_held().await?;
        let newest = self.inner.head().await?;
        let head = self.stale(newest).await?;
        {
            let mut state = self.lock();
            state.seen = state.seen.max(head.seq);
        }
        self.pass("head", Moment::BeforeReply).await;
        Ok(head)
    }

    async fn append(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        self.enter_append("append").await?;
        let outcome = if self.end().await?.seq == expected {
            let appended = self.commit(Some((expected, batch))).await;
            appended.map(|appended| appended.expect("there was something to commit"))
        } else {
            self.append_behind(expected, batch).await
        };
        self.pass("append", Moment::BeforeReply).await;
        outcome
    }

    async fn append_held(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        if batch.events.is_empty() || !batch.is_within_bounds() {
            return Err(AppendError::TooLarge);
        }
        self.enter_append("append_held").await?;
        let end = self.end().await?;
        let outcome = if end.seq == expected {
            self.lock().held.push((expected, batch.clone()));
            Ok(Appended { first: expected.next(), head: after(end, batch) })
        } else {
            self.append_behind(expected, batch).await
        };
        self.pass("append_held", Moment::BeforeReply).await;
        outcome
    }

    async fn settle(&self) -> Result<(), AppendError> {
        self.enter_append("settle").await?;
        let outcome = self.commit(None).await;
        self.pass("settle", Moment::BeforeReply).await;
        outcome.map(|_| ())
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.enter("read").await?;
        self.commit_held().await?;
        let is_corrupt = self.shared.with(|common| {
            let rate = common.faults.corrupt;
            common.draw.befalls("corrupt", rate)
        });
        if is_corrupt {
            return Err(StoreError::Corrupt { seq: after.next(), why: "its hash is another".to_owned() });
        }
        let view = self.lock().view;
        let most = view.map_or(limit, |view| {
            limit.min(usize::try_from(view.get().saturating_sub(after.get())).unwrap_or(usize::MAX))
        });
        let records = self.inner.read(after, most).await?;
        if let Some(last) = records.last() {
            let mut state = self.lock();
            state.seen = state.seen.max(last.seq);
        }
        self.pass("read", Moment::BeforeReply).await;
        Ok(records)
    }

    async fn wait(&self, after: Seq) {
        let is_early = self.shared.with(|common| {
            let rate = common.faults.wait_early;
            common.draw.befalls("wait_early", rate)
        });
        if !is_early {
            self.inner.wait(after).await;
        }
    }

    async fn load_snapshot(&self, version: u32) -> Result<Option<Snapshot>, StoreError> {
        self.inner.load_snapshot(version).await
    }

    async fn save_snapshot(&self, snapshot: &Snapshot, past: &[Past]) -> Result<(), StoreError> {
        self.inner.save_snapshot(snapshot, past).await
    }

    async fn load_past(&self, version: u32, id: PastId) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.load_past(version, id).await
    }

    async fn past_runners(&self, version: u32, limit: usize) -> Result<Vec<(RunnerId, Vec<u8>)>, StoreError> {
        self.inner.past_runners(version, limit).await
    }

    async fn runs(&self, name: Option<&Name>, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        self.inner.runs(name, limit).await
    }
}
