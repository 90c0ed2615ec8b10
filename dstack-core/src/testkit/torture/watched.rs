//! Ports that count what their callers are answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::cloud::{CloudError, CloudProvider, FakeCloud, Known, LaunchError, Look, Machine, Notice};
use crate::host::{Begun, Closing, Contents, FakeHost, Fetched, Hearing, HostError, Job, Polled, RunnerHost};
use crate::model::{
    AttemptId, Batch, Greeting, LaunchRequest, LogId, MachineId, Name, Offering, Place, Record, RunnerId, Scope, Seq,
};
use crate::secret::Secret;
use crate::store::{AppendError, Appended, EventStore, FaultyStore, Head, Past, PastId, RunRow, Snapshot, StoreError};

/// Every answer that is counted, by its name.
pub(super) const ARMS: &[&str] = &[
    "launch: done",
    "launch: capacity",
    "launch: credentials",
    "launch: denied",
    "launch: ended",
    "launch: invalid",
    "launch: mismatch",
    "launch: quota",
    "launch: throttled",
    "launch: unknown",
    "cloud: credentials",
    "cloud: denied",
    "cloud: not found",
    "cloud: throttled",
    "cloud: unknown",
    "host: begun",
    "host: closed before",
    "host: changed",
    "host: refused",
    "host: unknown attempt",
    "host: unreachable",
    "append: conflict",
    "append: full",
    "append: unknown",
    "append: corrupt or unusable",
    "append: unreachable",
    "store: corrupt",
    "store: unreachable",
    "store: unusable",
];

/// How often each answer was given.
#[derive(Debug, Clone, Default)]
pub(super) struct Arms(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Arms {
    pub(super) fn count(&self, arm: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(arm).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn cloud<R>(&self, answer: Result<R, CloudError>) -> Result<R, CloudError> {
        if let Err(error) = &answer {
            self.count(match error {
                CloudError::Unknown(_) => "cloud: unknown",
                CloudError::Throttled(_) => "cloud: throttled",
                CloudError::Denied(_) => "cloud: denied",
                CloudError::Credentials(_) => "cloud: credentials",
                CloudError::Invalid(_) => "cloud: invalid",
                CloudError::NotFound => "cloud: not found",
            });
        }
        answer
    }

    fn host<R>(&self, answer: Result<R, HostError>) -> Result<R, HostError> {
        if let Err(error) = &answer {
            self.count(match error {
                HostError::Unreachable(_) => "host: unreachable",
                HostError::Changed(_) => "host: changed",
                HostError::UnknownAttempt(_) => "host: unknown attempt",
                HostError::Refused(_) => "host: refused",
            });
        }
        answer
    }

    fn store<R>(&self, answer: Result<R, StoreError>) -> Result<R, StoreError> {
        if let Err(error) = &answer {
            self.count(match error {
                StoreError::Corrupt { .. } => "store: corrupt",
                StoreError::Unusable(_) => "store: unusable",
                StoreError::Unreachable(_) => "store: unreachable",
            });
        }
        answer
    }

    fn append<R>(&self, answer: Result<R, AppendError>) -> Result<R, AppendError> {
        if let Err(error) = &answer {
            self.count(match error {
                AppendError::Conflict { .. } => "append: conflict",
                AppendError::Unknown(_) => "append: unknown",
                AppendError::IdReused(_) => "append: id reused",
                AppendError::TooLarge => "append: too large",
                AppendError::Full => "append: full",
                AppendError::Store(StoreError::Unreachable(_)) => "append: unreachable",
                AppendError::Store(StoreError::Corrupt { .. } | StoreError::Unusable(_)) => {
                    "append: corrupt or unusable"
                }
            });
        }
        answer
    }
}

/// A fake cloud whose answers are counted.
pub(super) struct WatchedCloud(pub(super) FakeCloud, pub(super) Arms);

#[async_trait]
impl CloudProvider for WatchedCloud {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        self.1.cloud(self.0.scope(region).await)
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        self.1.cloud(self.0.catalogue(region).await)
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        let answer = self.0.launch(request).await;
        self.1.count(match &answer {
            Ok(_) => "launch: done",
            Err(LaunchError::Unknown(_)) => "launch: unknown",
            Err(LaunchError::Throttled(_)) => "launch: throttled",
            Err(LaunchError::Capacity { .. }) => "launch: capacity",
            Err(LaunchError::Quota(_)) => "launch: quota",
            Err(LaunchError::Denied(_)) => "launch: denied",
            Err(LaunchError::Invalid(_)) => "launch: invalid",
            Err(LaunchError::Credentials(_)) => "launch: credentials",
            Err(LaunchError::Mismatch(_)) => "launch: mismatch",
            Err(LaunchError::Ended) => "launch: ended",
        });
        answer
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        self.1.cloud(self.0.look(scope, log, known).await)
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        self.0.terminate(scope, machines).await.into_iter().map(|answer| self.1.cloud(answer)).collect()
    }

    async fn notice(&self) -> Notice {
        self.0.notice().await
    }
}

/// Fake runners whose answers are counted.
pub(super) struct WatchedHost(pub(super) FakeHost, pub(super) Arms);

#[async_trait]
impl RunnerHost for WatchedHost {
    async fn greet(&self, place: &Place) -> Result<Greeting, HostError> {
        self.1.host(self.0.greet(place).await)
    }

    async fn stage(&self, place: &Place, attempt: AttemptId, contents: &Contents) -> Result<(), HostError> {
        self.1.host(self.0.stage(place, attempt, contents).await)
    }

    async fn start(
        &self,
        place: &Place,
        attempt: AttemptId,
        job: &Job,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Begun, HostError> {
        let answer = self.1.host(self.0.start(place, attempt, job, secrets).await)?;
        self.1.count(match answer {
            Begun::Started => "host: begun",
            Begun::Closed => "host: closed before",
        });
        Ok(answer)
    }

    async fn poll(&self, place: &Place, attempts: &[(AttemptId, u64)]) -> Result<Vec<Polled>, HostError> {
        self.1.host(self.0.poll(place, attempts).await)
    }

    async fn close(&self, place: &Place, attempt: AttemptId, closing: Closing) -> Result<(), HostError> {
        self.1.host(self.0.close(place, attempt, closing).await)
    }

    async fn fetch(&self, place: &Place, attempt: AttemptId, path: &str) -> Result<Fetched, HostError> {
        self.1.host(self.0.fetch(place, attempt, path).await)
    }

    async fn release(&self, place: &Place, attempt: AttemptId) -> Result<(), HostError> {
        self.1.host(self.0.release(place, attempt).await)
    }

    async fn wait(&self, place: &Place) -> Result<(), HostError> {
        self.1.host(self.0.wait(place).await)
    }

    async fn listen(&self, place: &Place, last: Option<Hearing>) -> Result<Hearing, HostError> {
        self.1.host(self.0.listen(place, last).await)
    }
}

/// A log whose answers are counted.
pub(super) struct WatchedStore(pub(super) FaultyStore, pub(super) Arms);

#[async_trait]
impl EventStore for WatchedStore {
    async fn head(&self) -> Result<Head, StoreError> {
        self.1.store(self.0.head().await)
    }

    async fn append(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        self.1.append(self.0.append(expected, batch).await)
    }

    async fn append_held(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        self.1.append(self.0.append_held(expected, batch).await)
    }

    async fn settle(&self) -> Result<(), AppendError> {
        self.1.append(self.0.settle().await)
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.1.store(self.0.read(after, limit).await)
    }

    async fn wait(&self, after: Seq) {
        self.0.wait(after).await;
    }

    async fn load_snapshot(&self, version: u32) -> Result<Option<Snapshot>, StoreError> {
        self.0.load_snapshot(version).await
    }

    async fn save_snapshot(&self, snapshot: &Snapshot, past: &[Past]) -> Result<(), StoreError> {
        self.0.save_snapshot(snapshot, past).await
    }

    async fn load_past(&self, version: u32, id: PastId) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.load_past(version, id).await
    }

    async fn past_runners(&self, version: u32, limit: usize) -> Result<Vec<(RunnerId, Vec<u8>)>, StoreError> {
        self.0.past_runners(version, limit).await
    }

    async fn runs(&self, name: Option<&Name>, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        self.0.runs(name, limit).await
    }
}
