//! The ports of one process, with a boundary before and after each call.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::point::{Boundary, Fault, Points, Pulse};
use crate::clock::Clock;
use crate::cloud::{CloudError, CloudProvider, Known, LaunchError, Look, Machine, Notice};
use crate::host::{Begun, Closing, Contents, Fetched, Hearing, HostError, Job, Polled, RunnerHost};
use crate::model::event::ClockStepped;
use crate::model::{
    AppendId, AttemptId, Batch, Greeting, LaunchRequest, LogId, MachineId, Name, Offering, Place, Record, RunnerId,
    Scope, Seq,
};
use crate::secret::Secret;
use crate::store::{
    AppendError, Appended, CommitFate, EventStore, FaultyStore, Head, MemoryStore, Past, PastId, RunRow, Snapshot,
    StoreError,
};

const LOST: &str = "the connection was lost";

/// A port with boundaries around it.
#[derive(Clone)]
pub(super) struct Bounded<P> {
    pub(super) port: P,
    pub(super) points: Arc<Points>,
    pub(super) pulse: Arc<Pulse>,
}

impl<P> Bounded<P> {
    async fn pass(&self, boundary: Boundary, call: &'static str) -> Option<Fault> {
        self.points.pass(&self.pulse, boundary, call).await
    }

    /// A call to the outside; `lost` is what its caller hears when its answer is lost.
    async fn call<R>(&self, call: &'static str, effect: impl Future<Output = R>, lost: impl FnOnce() -> R) -> R {
        let before = if call == "launch" { Boundary::BeforeLaunch } else { Boundary::BeforeEffect };
        self.pass(before, call).await;
        let reply = effect.await;
        match self.pass(Boundary::AfterEffect, call).await {
            Some(Fault::LoseReply) => lost(),
            Some(Fault::Crash | Fault::Pause | Fault::Conflict) | None => reply,
        }
    }
}

fn unknown() -> CloudError {
    CloudError::Unknown(LOST.to_owned())
}

fn unreachable() -> HostError {
    HostError::Unreachable(LOST.to_owned())
}

#[async_trait]
impl CloudProvider for Bounded<Arc<dyn CloudProvider>> {
    async fn scope(&self, region: &str) -> Result<Scope, CloudError> {
        self.port.scope(region).await
    }

    async fn catalogue(&self, region: &str) -> Result<Vec<Offering>, CloudError> {
        self.call("catalogue", self.port.catalogue(region), || Err(unknown())).await
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Machine, LaunchError> {
        self.call("launch", self.port.launch(request), || Err(LaunchError::Unknown(LOST.to_owned()))).await
    }

    async fn look(&self, scope: &Scope, log: LogId, known: &[Known]) -> Result<Look, CloudError> {
        self.call("look", self.port.look(scope, log, known), || Err(unknown())).await
    }

    async fn terminate(&self, scope: &Scope, machines: &[MachineId]) -> Vec<Result<(), CloudError>> {
        let lost = || machines.iter().map(|_| Err(unknown())).collect();
        self.call("terminate", self.port.terminate(scope, machines), lost).await
    }

    async fn notice(&self) -> Notice {
        self.port.notice().await
    }
}

#[async_trait]
impl RunnerHost for Bounded<Arc<dyn RunnerHost>> {
    async fn greet(&self, place: &Place) -> Result<Greeting, HostError> {
        self.call("greet", self.port.greet(place), || Err(unreachable())).await
    }

    async fn stage(&self, place: &Place, attempt: AttemptId, contents: &Contents) -> Result<(), HostError> {
        self.call("stage", self.port.stage(place, attempt, contents), || Err(unreachable())).await
    }

    async fn start(
        &self,
        place: &Place,
        attempt: AttemptId,
        job: &Job,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Begun, HostError> {
        self.call("start", self.port.start(place, attempt, job, secrets), || Err(unreachable())).await
    }

    async fn poll(&self, place: &Place, attempts: &[(AttemptId, u64)]) -> Result<Vec<Polled>, HostError> {
        self.call("poll", self.port.poll(place, attempts), || Err(unreachable())).await
    }

    async fn close(&self, place: &Place, attempt: AttemptId, closing: Closing) -> Result<(), HostError> {
        self.call("close", self.port.close(place, attempt, closing), || Err(unreachable())).await
    }

    async fn fetch(&self, place: &Place, attempt: AttemptId, path: &str) -> Result<Fetched, HostError> {
        self.call("fetch", self.port.fetch(place, attempt, path), || Err(unreachable())).await
    }

    async fn release(&self, place: &Place, attempt: AttemptId) -> Result<(), HostError> {
        self.call("release", self.port.release(place, attempt), || Err(unreachable())).await
    }

    async fn wait(&self, place: &Place) -> Result<(), HostError> {
        self.port.wait(place).await
    }

    async fn listen(&self, place: &Place, last: Option<Hearing>) -> Result<Hearing, HostError> {
        self.port.listen(place, last).await
    }
}

/// One process's handle on the log. What it holds is lost with the process, until it is settled.
pub(super) struct Log {
    held: Bounded<FaultyStore>,
    shared: Arc<MemoryStore>,
}

impl Log {
    pub(super) fn new(shared: Arc<MemoryStore>, clock: Arc<dyn Clock>, points: Arc<Points>, pulse: Arc<Pulse>) -> Self {
        let port = FaultyStore::new(Arc::clone(&shared) as _, clock, 0).with_fates(|_| CommitFate::Done);
        Self { held: Bounded { port, points, pulse }, shared }
    }

    async fn before(&self, call: &'static str) {
        if self.held.pass(Boundary::BeforeAppend, call).await == Some(Fault::Conflict)
            && let Ok(head) = self.shared.head().await
        {
            // It says what is so already: it does nothing but to be there first.
            let id = AppendId::from_entropy((u128::from(head.seq.get()) << 64).to_be_bytes());
            let batch = Batch::new(id, [&ClockStepped { offset_us: 0 }.into()]);
            drop(self.shared.append(head.seq, &batch).await);
        }
    }

    async fn after<T>(&self, call: &'static str, outcome: Result<T, AppendError>) -> Result<T, AppendError> {
        match self.held.pass(Boundary::AfterAppend, call).await {
            Some(Fault::LoseReply) => Err(AppendError::Unknown(std::io::Error::other(LOST).into())),
            Some(Fault::Crash | Fault::Pause | Fault::Conflict) | None => outcome,
        }
    }
}

#[async_trait]
impl EventStore for Log {
    async fn head(&self) -> Result<Head, StoreError> {
        self.held.port.head().await
    }

    async fn append(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        self.before("append").await;
        let outcome = self.held.port.append(expected, batch).await;
        self.after("append", outcome).await
    }

    async fn append_held(&self, expected: Seq, batch: &Batch) -> Result<Appended, AppendError> {
        self.before("append_held").await;
        self.held.port.append_held(expected, batch).await
    }

    async fn settle(&self) -> Result<(), AppendError> {
        self.held.pass(Boundary::BeforeSync, "settle").await;
        let outcome = self.held.port.settle().await;
        self.after("settle", outcome).await
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.held.port.read(after, limit).await
    }

    async fn wait(&self, after: Seq) {
        self.held.pass(Boundary::Wait, "wait").await;
        self.held.port.wait(after).await;
    }

    async fn load_snapshot(&self, version: u32) -> Result<Option<Snapshot>, StoreError> {
        self.held.port.load_snapshot(version).await
    }

    async fn save_snapshot(&self, snapshot: &Snapshot, past: &[Past]) -> Result<(), StoreError> {
        self.held.port.save_snapshot(snapshot, past).await
    }

    async fn load_past(&self, version: u32, id: PastId) -> Result<Option<Vec<u8>>, StoreError> {
        self.held.port.load_past(version, id).await
    }

    async fn past_runners(&self, version: u32, limit: usize) -> Result<Vec<(RunnerId, Vec<u8>)>, StoreError> {
        self.held.port.past_runners(version, limit).await
    }

    async fn runs(&self, name: Option<&Name>, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        self.held.port.runs(name, limit).await
    }
}
